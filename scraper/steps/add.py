"""The step that adds: put videos, accounts and sounds on the list to collect, or take them off."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import islice

from catalog.record.accounts import (
    ListKind,
    Wanted,
    unwant,
    want_accounts,
    want_sounds,
    want_videos,
    wanted_of,
)
from catalog.schema.session import Catalog
from catalog.work.runs import FailureBudget, Outcome, RunInProgress, record_run
from scraper.address_lists import AddressList, ListedText
from scraper.addresses import Address, parse_address
from scraper.errors import RowRefused
from scraper.pseudonyms import author_key

# A list with many bad rows is no reason to leave its good ones out.
NO_BUDGET = FailureBudget(min_failures=10**9)
BATCH = 5_000
MAX_SHOWN = 1_000
NOT_QUOTED = "not taken; what stood there is not kept, the command has shown it"

# Gives the address that a short link leads to. Raises RowRefused.
Resolve = Callable[[str], str]


@dataclass(frozen=True)
class Refused:
    """An entry that is not taken: where it stood, why, and what would have been right."""

    source: str
    line: int
    reason: str
    detail: str


@dataclass(frozen=True)
class AddResult:
    """What became of a list: how much is new on it, and what is not taken.

    outcome: None in a dry run, which does not ask the catalog, so that all counts as new. n_known:
    on the list before, or twice on this one. refused: at most the first thousand, and with them
    what was purged.
    """

    outcome: Outcome | None
    n_videos: int
    n_accounts: int
    n_sounds: int
    n_known: int
    n_tombstoned: int
    n_refused: int
    refused: list[Refused]

    def counts(self) -> dict[str, object]:
        """Everything but the outcome, to print."""
        counts = asdict(self)
        del counts["outcome"]
        return counts


def add(
    catalog: Catalog,
    lists: Sequence[AddressList],
    *,
    salt: bytes,
    resolve: Resolve,
    own_host: str = "",
    dry_run: bool = False,
) -> AddResult:
    """Put what the lists name on the list to collect. Safe to repeat: it then adds nothing.

    One bad entry costs one entry.
    """
    entries = ((found.source, entry) for found in lists for entry in found.entries)
    work = _Add(catalog, salt, resolve, own_host)
    if dry_run:
        for source, entry in entries:
            if address := work.read(source, entry):
                work.n_new[address.kind] = work.n_new.get(address.kind, 0) + 1
        return work.result(None)
    params = {"from": [found.source for found in lists if found.entries]}
    with record_run(catalog, "add", params=params, budget=NO_BUDGET) as run:
        for batch in _batches(entries, BATCH):
            work.store(run, batch)
    return work.result(run.outcome)


def remove(
    catalog: Catalog,
    lists: Sequence[AddressList],
    *,
    salt: bytes,
    resolve: Resolve,
    own_host: str = "",
    keep_handles: bool = False,
    dry_run: bool = False,
) -> AddResult:
    """Take what the lists name off the list to collect; what was collected of it stays.

    What is not on the list is refused, entry by entry. keep_handles: see `unwant`. A dry run looks
    what is on the list.
    """
    entries = ((found.source, entry) for found in lists for entry in found.entries)
    work = _Remove(catalog, salt, resolve, own_host, keep_handles=keep_handles)
    if dry_run:
        work.take_off(None, [a for entry in entries if (a := work.read(*entry))])
        return work.result(None)
    params = {"from": [found.source for found in lists if found.entries], "remove": True}
    with record_run(catalog, "add", params=params, budget=NO_BUDGET) as run:
        for batch in _batches(entries, BATCH):
            work.store(run, batch)
    return work.result(run.outcome)


def _batches(
    entries: Iterator[tuple[str, ListedText]], size: int
) -> Iterator[list[tuple[str, ListedText]]]:
    while batch := list(islice(entries, size)):
        yield batch


@dataclass
class _Add:
    """What adding does with each batch of entries, and what it has found so far."""

    catalog: Catalog
    salt: bytes
    resolve: Resolve
    own_host: str
    seen: set[tuple[str, str, str]] = field(default_factory=set)
    refused: list[Refused] = field(default_factory=list)
    buried: list[Refused] = field(default_factory=list)
    n_refused: int = 0
    n_new: dict[str, int] = field(default_factory=dict)
    n_known: int = 0
    n_tombstoned: int = 0
    # Where each entry of this batch stood, by what it means.
    places: dict[tuple[str, str, str], tuple[str, int]] = field(default_factory=dict)

    def read(self, source: str, entry: ListedText) -> Address | None:
        """Read an entry; None, and noted, where it is refused or has been there before."""
        try:
            address = parse_address(entry.text, own_host=self.own_host)
            if address.kind == "short":
                address = parse_address(self.resolve(address.name), own_host=self.own_host)
            if address.kind == "short":
                raise RowRefused("short_link", f"{address.name} is another short link")
            if address.kind == "hashtag":
                raise RowRefused(
                    "hashtag",
                    f"#{address.name} is listed for a topic: viewcast topic add TOPIC "
                    f"{address.name}",
                )
        except RowRefused as refused:
            self.refuse(source, entry.line, refused.reason, refused.detail)
            return None
        # Names of accounts are the same in capitals; ids of other sites are not.
        name = address.name.casefold() if address.kind == "account" else address.name
        key = (address.platform, address.kind, name)
        if key in self.seen:
            self.n_known += 1
            return None
        self.seen.add(key)
        self.places[key] = (source, entry.line)
        return address

    def refuse(self, source: str, line: int, reason: str, detail: str) -> None:
        """Note an entry that is not taken."""
        self.n_refused += 1
        if len(self.refused) < MAX_SHOWN:
            self.refused.append(Refused(source, line, reason, detail))

    def store(self, run: RunInProgress, batch: list[tuple[str, ListedText]]) -> None:
        """Put a batch on the list, each platform's in one transaction."""
        n_known, n_shown, n_refused = self.n_known, len(self.refused), self.n_refused
        self.places.clear()
        found = [address for entry in batch if (address := self.read(*entry))]
        for platform in sorted({address.platform for address in found}):
            of_site = [address for address in found if address.platform == platform]
            self._want(run, platform, of_site)
        for _ in range(self.n_known - n_known):
            run.skipped("entry", "known")
        for entry in self.refused[n_shown:]:
            # What is kept names nobody: whatever stood there may be somebody's name.
            run.failed(f"{entry.source}:{entry.line}", entry.reason, NOT_QUOTED)
        for _ in range(self.n_refused - n_refused - (len(self.refused) - n_shown)):
            run.failed("entry", "refused", "one more that is not taken")

    def _want(self, run: RunInProgress, platform: str, found: list[Address]) -> None:
        videos = {a.name: a.url for a in found if a.kind == "video"}
        accounts = {author_key(a.name, self.salt): a.name for a in found if a.kind == "account"}
        sounds = {a.name for a in found if a.kind == "sound"}
        now = datetime.now(UTC)
        with self.catalog.write() as session:
            wanted = {
                "video": want_videos(session, platform, videos, now),
                "account": want_accounts(session, platform, accounts, now),
                "sound": want_sounds(session, platform, sounds, now),
            }
        for kind, counts in wanted.items():
            self._note(run, platform, kind, counts)

    def _note(self, run: RunInProgress, platform: str, kind: str, counts: Wanted) -> None:
        self.n_new[kind] = self.n_new.get(kind, 0) + counts.new
        run.done(counts.new)
        self.n_known += counts.known
        for name in counts.tombstoned:
            self.n_tombstoned += 1
            run.skipped(kind, "tombstoned")
            plain = name.casefold() if kind == "account" else name
            source, line = self.places.get((platform, kind, plain), ("", 0))
            shown = f"@{name}" if kind == "account" else name
            words = f"{shown} was purged and is not collected again"
            if len(self.buried) < MAX_SHOWN:
                self.buried.append(Refused(source, line, "tombstoned", words))

    def result(self, outcome: Outcome | None) -> AddResult:
        """Sum it up."""
        return AddResult(
            outcome=outcome,
            n_videos=self.n_new.get("video", 0),
            n_accounts=self.n_new.get("account", 0),
            n_sounds=self.n_new.get("sound", 0),
            n_known=self.n_known,
            n_tombstoned=self.n_tombstoned,
            refused=sorted(self.refused + self.buried, key=lambda r: (r.source, r.line)),
            n_refused=self.n_refused,
        )


@dataclass
class _Remove(_Add):
    """What removing does with each batch of entries."""

    keep_handles: bool = False

    def _want(self, run: RunInProgress, _platform: str, found: list[Address]) -> None:
        self.take_off(run, found)

    def take_off(self, run: RunInProgress | None, found: list[Address]) -> None:
        """Take these off the list; without a run only look which are on it."""
        wanted: dict[tuple[str, ListKind], dict[str, Address]] = {}
        for address in found:
            if address.kind == "account":
                wanted.setdefault((address.platform, "account"), {})[
                    author_key(address.name, self.salt)
                ] = address
            elif address.kind in ("video", "sound"):
                wanted.setdefault((address.platform, address.kind), {})[address.name] = address
        for (platform, kind), named in wanted.items():
            if run is None:
                with self.catalog.read() as session:
                    gone = wanted_of(session, kind, platform, named)
            else:
                # The names of accounts go.
                with self.catalog.erase() as session:
                    gone = unwant(session, kind, platform, named, keep_handles=self.keep_handles)
                run.done(len(gone))
            self.n_new[kind] = self.n_new.get(kind, 0) + len(gone)
            for key, address in named.items():
                if key not in gone:
                    self._refuse_absent(address)

    def _refuse_absent(self, address: Address) -> None:
        is_account = address.kind == "account"
        name = address.name.casefold() if is_account else address.name
        source, line = self.places.get((address.platform, address.kind, name), ("", 0))
        shown = f"@{address.name}" if is_account else f"{address.kind} {address.name}"
        self.refuse(source, line, "not_on_list", f"{shown} is not on the list")
