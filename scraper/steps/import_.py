"""The step that imports: store the videos, counts and files that other tools collected."""

import errno
import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import groupby, islice
from pathlib import Path
from typing import Any, TypeVar

from catalog.console import Progress
from catalog.errors import BadValue, NotFound, name_text
from catalog.facts import (
    LOCAL_PLATFORM,
    ObservationFacts,
    RejectedFacts,
    SoundFacts,
    VideoFacts,
    without_names,
)
from catalog.files import sha256_of
from catalog.read.lookup import videos_of_files
from catalog.record.facts_file import Fact, is_facts_form, read_fact, take_facts
from catalog.record.sightings import AT_ONCE, adopt_media, store_rejected, store_sightings
from catalog.schema.session import Catalog
from catalog.work.claims import MediaDone
from catalog.work.runs import FailureBudget, Outcome, RunInProgress, record_run
from scraper.errors import BadMedia, DownloadFailed, NoSpace, RowRefused
from scraper.files.download import MEDIA_FOLDER
from scraper.files.media import check_media
from scraper.importers.fields import TIKTOK
from scraper.importers.formats import Format
from scraper.importers.json_rows import parse_row, read_rows
from scraper.importers.media import BroughtMedia, bring_media, imported_media_path
from scraper.importers.reading import read_path, sniff
from scraper.importers.report import ImportReport
from scraper.importers.video import ImportedVideo, ImportOptions, RejectedLine, rejected
from scraper.items import MAX_DURATION_S, read_amount, read_side
from scraper.settings import FetchConfig
from scraper.steps.scrape import facts_of

log = logging.getLogger(__name__)

Row = TypeVar("Row")

N_SHOWN = 20
# One transaction: no more than the catalog writes in the order of its keys, lest two imports of
# the same videos in another order wait for each other.
BATCH_ROWS = AT_ONCE
# A file is copied and decoded, half a second each: a batch must not take many minutes.
BATCH_MEDIA = 50
N_CHECKERS = min(4, os.cpu_count() or 1)
# A file is what it is: its bad rows are listed and stored, however many they are.
NO_BUDGET = FailureBudget(min_failures=10**9)


@dataclass(frozen=True)
class ImportResult:
    """What an import found.

    outcome, n_new_videos, n_known_videos, n_observations: None in a dry run, which writes and
    asks nothing. rejected: rows by reason. media_failed: files by reason. sample: the first of
    both, failures before skips. report: what was done with each column or key.
    """

    outcome: Outcome | None
    format: Format
    n_rows: int
    n_new_videos: int | None
    n_known_videos: int | None
    n_observations: int | None
    n_media: int
    n_tombstoned: int
    rejected: dict[str, int]
    media_failed: dict[str, int]
    sample: tuple[RejectedLine, ...]
    report: Mapping[str, Any]

    def counts(self) -> dict[str, object]:
        """Everything but the outcome, to print."""
        counts = asdict(self)
        del counts["outcome"], counts["format"]
        # Not `format`: that is the number of every JSON document's own form.
        return {"file_format": self.format, **counts}


class Tally:
    """What an import has found so far."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.counts = Counter[str]()
        self.rejected = Counter[str]()
        self.media_failed = Counter[str]()
        self._failed: list[RejectedLine] = []
        self._skipped: list[RejectedLine] = []

    def reject(self, rows: Sequence[RejectedLine]) -> None:
        """Count refused rows, and keep the first of them to show."""
        for row in rows:
            counter = self.media_failed if row.is_media else self.rejected
            counter[row.reason] += 1
            shown = self._skipped if row.is_skip else self._failed
            if len(shown) < N_SHOWN:
                shown.append(row)

    def fail_media(self, row: ImportedVideo, code: str, message: str) -> None:
        """Count a file that was not taken, and keep the first of them to show."""
        self.media_failed[code] += 1
        if len(self._failed) < N_SHOWN:
            tiktok_id = row.sighting.tiktok_id
            name = name_text(row.media.name) if row.media else ""
            self._failed.append(RejectedLine(row.line, tiktok_id, code, message, "", name))

    def result(
        self, found: Format, outcome: Outcome | None, report: Mapping[str, Any]
    ) -> ImportResult:
        """Sum up; outcome is None where nothing was written."""

        def stored(name: str) -> int | None:
            return None if outcome is None else self.counts[name]

        return ImportResult(
            outcome=outcome,
            format=found,
            n_rows=self.counts["rows"],
            n_new_videos=stored("new"),
            n_known_videos=stored("known"),
            n_observations=stored("observations"),
            n_media=self.counts["media"],
            n_tombstoned=self.counts["tombstoned"],
            rejected=dict(self.rejected),
            media_failed=dict(self.media_failed),
            sample=tuple([*self._failed, *self._skipped][:N_SHOWN]),
            report=report,
        )


@dataclass(frozen=True)
class _Batch:
    videos: list[ImportedVideo]
    rejects: list[RejectedLine]

    @property
    def n_entries(self) -> int:
        return len(self.videos) + len(self.rejects)

    @property
    def n_rows(self) -> int:
        return len(self.videos) + sum(not reject.is_media for reject in self.rejects)


@dataclass(frozen=True)
class _MediaFailure:
    code: str
    message: str


# By a video's place in its batch: its file, or why it has none.
_Media = Mapping[int, BroughtMedia | _MediaFailure]


def import_path(
    catalog: Catalog,
    path: Path,
    options: ImportOptions,
    *,
    salt: bytes,
    keep_handles: bool,
    data: Path,
    with_media: bool,
    progress: Progress,
    limits: FetchConfig | None = None,
    dry_run: bool = False,
) -> ImportResult:
    """Store the videos, counts and files that somebody else collected. Safe to stop and repeat.

    with_media: also bring the mp4 files, each checked like a download. dry_run: read and check
    everything, write nothing.
    """
    options = replace(options, format=options.format or sniff(path, options), report=ImportReport())
    assert options.format is not None
    if options.format == "facts":
        facts = _facts_of_file(path, keep_handles=keep_handles)
        return _import_facts(catalog, path, options, facts, progress, dry_run=dry_run)
    batches = _batches(read_path(path, options), with_media=with_media)
    tally = Tally()
    if dry_run:
        _try(batches, tally, progress)
        return tally.result(options.format, None, options.report.as_dict())
    name = name_text(path.resolve().name)
    params = {"path": name, **_settings(options), "with_media": with_media}
    with record_run(catalog, "import", params=params, budget=NO_BUDGET) as run:
        for batch in batches:
            media = _bring(batch, data / MEDIA_FOLDER, limits or FetchConfig())
            batch, media = _without_doubles(catalog, batch, media)
            rows = [
                _probed(_facts(video, salt, keep_handles=keep_handles), media.get(n))
                for n, video in enumerate(batch.videos)
            ]
            _store(catalog, run, name, batch, rows, media, data, tally)
            progress.advance(batch.n_rows)
            progress.note(f"{tally.counts['new']} new videos")
        if not tally.counts["rows"]:
            run.failed(name, "empty", f"{name} has no row at all")
        elif not tally.counts["videos"]:
            run.in_vain(name, "nothing_usable", f"{name} has no row with a video that we want")
        run.note(name, "columns", options.report.as_dict())
    return tally.result(options.format, run.outcome, options.report.as_dict())


def _import_facts(
    catalog: Catalog,
    path: Path,
    options: ImportOptions,
    facts_of_file: Iterator[Fact | RejectedLine],
    progress: Progress,
    *,
    dry_run: bool,
) -> ImportResult:
    """Take what `export --format facts` wrote: every table of facts, with every observation."""
    tally, report, name = Tally(), options.report, name_text(path.resolve().name)
    batches = _chunks(facts_of_file, BATCH_ROWS)
    if dry_run:
        for batch in batches:
            tally.reject([row for row in batch if isinstance(row, RejectedLine)])
            tally.counts["rows"] += len(batch)
            progress.advance(len(batch))
        return tally.result("facts", None, report.as_dict())
    new = Counter[str]()
    params = {"path": name, "format": "facts"}
    with record_run(catalog, "import", params=params, budget=NO_BUDGET) as run:
        for batch in batches:
            rejects = [row for row in batch if isinstance(row, RejectedLine)]
            facts = [row for row in batch if not isinstance(row, RejectedLine)]
            with catalog.write() as session:
                taken = take_facts(session, facts, run.id)
                store_rejected(session, name, [_noted(row) for row in rejects], run_id=run.id)
                _count_failures(run, name, _Batch([], rejects), {}, tally)
            run.done(len(facts))
            new += taken
            n_videos = sum(kind == "video" for kind, _ in facts)
            tally.counts.update(
                rows=len(batch),
                new=taken["video"],
                known=n_videos - taken["video"] - taken["tombstoned_videos"],
                observations=taken["view_observation"],
                tombstoned=taken["tombstoned"],
            )
            progress.advance(len(batch))
        if not tally.counts["rows"]:
            run.failed(name, "empty", f"{name} has no fact at all")
        for table, n_rows in new.items():
            report.note(f"{table}: {n_rows} new")
        run.note(name, "facts", dict(new))
    return tally.result("facts", run.outcome, report.as_dict())


def _facts_of_file(path: Path, *, keep_handles: bool) -> Iterator[Fact | RejectedLine]:
    for row in read_rows(path):
        try:
            if row.refusal is not None:
                raise row.refusal
            line = parse_row(row.raw)
            if not is_facts_form(line):
                fact = read_fact(line)
                yield fact if keep_handles else _without_names(fact)
        except RowRefused as refusal:
            yield rejected(row.line, row.raw, refusal)
        except BadValue as error:
            yield rejected(row.line, row.raw, RowRefused("not_a_fact", str(error)))


def _without_names(fact: Fact) -> Fact:
    """Leave out the names of people, as of any other import; a wanted account's is needed."""
    kind, row = fact
    if kind == "account" and row["wanted_at"] is None:
        return kind, {**row, "handle": None}
    if kind == "sound":
        about = SoundFacts(row["platform_id"], row["title"], row["author"], row["is_original"])
        kept = without_names(about)
        return kind, {**row, "title": kept and kept.title, "author": kept and kept.author}
    return fact


def _chunks(rows: Iterator[Row], size: int) -> Iterator[list[Row]]:
    while chunk := list(islice(rows, size)):
        yield chunk


def _settings(options: ImportOptions) -> dict[str, object]:
    """Return all with which the import can be repeated."""
    when = options.observed_at
    return {
        "format": options.format,
        "platform": options.platform,
        "columns": dict(options.columns),
        "ignore": list(options.ignore),
        "locale": options.locale,
        "timezone": str(options.timezone),
        "date_format": options.date_format,
        "encoding": options.encoding,
        "observed_at": None if when is None else when.isoformat(),
        "keep_round_ids": options.keep_round_ids,
        "caption_from_name": options.caption_from_name,
        "media": None if options.media is None else name_text(options.media.name),
    }


def _batches(rows: Iterator[ImportedVideo | RejectedLine], *, with_media: bool) -> Iterator[_Batch]:
    batch, n_media = _Batch([], []), 0
    for row in rows:
        if isinstance(row, RejectedLine):
            batch.rejects.append(row)
        elif _is_local(row) and not with_media:
            batch.rejects.append(_left(row, "is a video by itself alone, and --no-media leaves it"))
        else:
            batch.videos.append(row if with_media else _without_media(row))
            n_media += with_media and row.media is not None
        if batch.n_entries >= BATCH_ROWS or n_media >= BATCH_MEDIA:
            yield batch
            batch, n_media = _Batch([], []), 0
    if batch.n_entries:
        yield batch


def _is_local(row: ImportedVideo) -> bool:
    """Say whether a video is nothing but its file."""
    return row.platform == LOCAL_PLATFORM and row.media is not None


def _left(row: ImportedVideo, why: str) -> RejectedLine:
    """Note a local video's file that is left aside."""
    assert row.media is not None
    name = name_text(row.media.name)
    refusal = RowRefused("media_unused", f"{name} {why}", row.sighting.tiktok_id)
    line = rejected(row.line, row.sighting.tiktok_id.encode(), refusal, name)
    return replace(line, is_media=True)


def _without_media(row: ImportedVideo) -> ImportedVideo:
    return row if row.media is None else replace(row, media=None)


def _facts(
    row: ImportedVideo, salt: bytes, *, keep_handles: bool
) -> tuple[VideoFacts, ObservationFacts]:
    video, seen = facts_of(
        row.sighting, salt, keep_handles=keep_handles, is_time_stated=row.is_time_stated
    )
    if row.platform != TIKTOK:
        handle, url = row.sighting.handle, row.url or ""
        is_named = bool(handle) and str(handle).casefold() in url.casefold()
        # An address that names the author is kept only where handles are.
        url = "" if is_named and not keep_handles else url
        video = replace(video, platform=row.platform, url=url)
    return video, seen


def _probed(
    row: tuple[VideoFacts, ObservationFacts], brought: BroughtMedia | _MediaFailure | None
) -> tuple[VideoFacts, ObservationFacts]:
    """Let a file tell its length and size where nobody said them."""
    video, seen = row
    if not isinstance(brought, BroughtMedia):
        return row
    probe = brought.probe
    duration_s = read_amount(probe.get("duration_s"), MAX_DURATION_S)
    told = replace(
        video,
        duration_s=duration_s if video.duration_s is None else video.duration_s,
        width_px=read_side(probe.get("width_px")) if video.width_px is None else video.width_px,
        height_px=read_side(probe.get("height_px")) if video.height_px is None else video.height_px,
    )
    return told, seen


def _without_doubles(catalog: Catalog, batch: _Batch, media: "_Media") -> "tuple[_Batch, _Media]":
    """Leave aside local files whose content is another video's of the catalog."""
    sha256s = {
        n: brought.sha256
        for n, brought in media.items()
        if isinstance(brought, BroughtMedia) and _is_local(batch.videos[n])
    }
    if not sha256s:
        return batch, media
    with catalog.read() as session:
        known = videos_of_files(session, set(sha256s.values()))
    doubles = {
        n: known[sha256].tiktok_id
        for n, sha256 in sha256s.items()
        if sha256 in known and known[sha256].tiktok_id != batch.videos[n].sighting.tiktok_id
    }
    if not doubles:
        return batch, media
    for n in doubles:
        brought = media[n]
        if isinstance(brought, BroughtMedia) and brought.is_new:
            brought.path.unlink(missing_ok=True)
    kept = [n for n in range(len(batch.videos)) if n not in doubles]
    why = "is left aside: it is the file of video"
    left = [_left(batch.videos[n], f"{why} {video_id}") for n, video_id in doubles.items()]
    left = [replace(row, reason="media_double") for row in left]
    return (
        _Batch([batch.videos[n] for n in kept], [*batch.rejects, *left]),
        {place: media[n] for place, n in enumerate(kept) if n in media},
    )


def _bring(batch: _Batch, folder: Path, limits: FetchConfig) -> _Media:
    """Copy and check the batch's files, a few at a time: each waits for programs of its own."""

    def bring(row: ImportedVideo) -> BroughtMedia | _MediaFailure:
        found = row.sighting
        assert row.media is not None
        target = imported_media_path(folder, row.platform, found.tiktok_id)
        try:
            brought = bring_media(row.media, target, duration_s=found.duration_s, limits=limits)
            if _is_local(row) and not brought.is_new and sha256_of(row.media) != brought.sha256:
                words = f"video {found.tiktok_id} has another file: rename {row.media.name}"
                return _MediaFailure("id_taken", words)
            return brought
        except (BadMedia, DownloadFailed) as error:
            return _MediaFailure(error.code, str(error))
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise NoSpace(f"the disk is full: {row.media.name} found no room") from error
            return _MediaFailure("unreadable", f"{row.media.name}: {error.strerror}")

    wanted = [n for n, row in enumerate(batch.videos) if row.media is not None]
    if not wanted:
        return {}
    with ThreadPoolExecutor(N_CHECKERS) as pool:
        return dict(zip(wanted, pool.map(bring, [batch.videos[n] for n in wanted]), strict=True))


def _store(
    catalog: Catalog,
    run: RunInProgress,
    source: str,
    batch: _Batch,
    rows: Sequence[tuple[VideoFacts, ObservationFacts]],
    media: _Media,
    data: Path,
    tally: Tally,
) -> None:
    """Write one batch, and count it when it is written."""
    strays: list[Path] = []
    n_media = 0
    with catalog.write() as session:
        # A local video is its file: without one there is none.
        kept = [
            row
            for n, row in enumerate(rows)
            if not (isinstance(media.get(n), _MediaFailure) and _is_local(batch.videos[n]))
        ]
        stored = store_sightings(session, kept, run_id=run.id, found_by=None)
        by_file = groupby(batch.rejects, key=lambda reject: reject.file)
        for file, rejects in by_file:
            name = f"{source}/{file}" if file else source
            store_rejected(session, name, [_noted(row) for row in rejects], run_id=run.id)
        for n, brought in media.items():
            row = batch.videos[n]
            if isinstance(brought, _MediaFailure):
                continue
            done = MediaDone(
                uri=brought.path.relative_to(data).as_posix(),
                sha256=brought.sha256,
                n_bytes=brought.n_bytes,
                probe=brought.probe | _named(row),
            )
            try:
                n_media += adopt_media(session, row.platform, row.sighting.tiktok_id, done)
            except NotFound:
                # A tombstone: what was purged does not come back, nor does its file.
                strays += [brought.path] if brought.is_new else []
        _count_failures(run, source, batch, media, tally)
    for stray in strays:
        stray.unlink(missing_ok=True)
    n_failed = sum(isinstance(brought, _MediaFailure) for brought in media.values())
    run.done(len(batch.videos) - n_failed)
    tally.counts.update(
        rows=batch.n_rows,
        videos=len(batch.videos),
        new=stored.new_videos,
        known=stored.known_videos,
        observations=stored.new_observations,
        tombstoned=stored.tombstoned,
        media=n_media,
    )
    log.info("%s: %d rows, %d new videos", source, batch.n_rows, stored.new_videos)


def _named(row: ImportedVideo) -> dict[str, str]:
    """Keep what a local file was called: its id says nothing to anybody.

    Of other files not: tools write the names of accounts into theirs.
    """
    return {"imported_as": name_text(row.media.name)} if _is_local(row) and row.media else {}


def _count_failures(
    run: RunInProgress, source: str, batch: _Batch, media: _Media, tally: Tally
) -> None:
    # Within the transaction of the batch: outside, each failure would be one of its own.
    tally.reject(batch.rejects)
    for reject in batch.rejects:
        if reject.is_skip:
            run.skipped(f"{reject.file or source}:{reject.line}", reject.reason)
    # Each is a row of its own in `rejected_row`; as many events beside them would say no more.
    run.refused(Counter(reject.reason for reject in batch.rejects if not reject.is_skip))
    for n, failure in media.items():
        if isinstance(failure, _MediaFailure):
            tally.fail_media(batch.videos[n], failure.code, failure.message)
            run.failed(batch.videos[n].sighting.tiktok_id, failure.code, failure.message)


def _noted(row: RejectedLine) -> RejectedFacts:
    return RejectedFacts(
        line=row.line,
        tiktok_id=row.tiktok_id,
        reason=row.reason,
        detail=row.detail,
        row_sha256=row.sha256,
    )


def _try(batches: Iterator[_Batch], tally: Tally, progress: Progress) -> None:
    """Read and check everything, and write nothing."""
    for batch in batches:
        for row in batch.videos:
            if row.media is None:
                continue
            try:
                check_media(row.media, duration_s=row.sighting.duration_s)
                tally.counts["media"] += 1
            except BadMedia as error:
                tally.fail_media(row, error.code, str(error))
        tally.reject(batch.rejects)
        tally.counts["rows"] += batch.n_rows
        progress.advance(batch.n_rows)
