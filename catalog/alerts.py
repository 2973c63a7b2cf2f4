"""When somebody has to be told, and in which words: rules over a few facts, without a database."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Literal, get_args

Kind = Literal[
    "night_failed",
    "night_late",
    "few_new_videos",
    "site_blocked",
    "error_drift",
    "coverage_off",
    "disk_low",
    "schema_behind",
    "catalog_unreachable",
]
KINDS: tuple[Kind, ...] = get_args(Kind)

# A stage in which some rows failed, within its budget, or that has used up its time, is no failure
# of the night; nor is it one that somebody could not be told.
WITHIN_BUDGET, TELLING = ("stage_partial", "stage_out_of_time"), "alerts"
# Refusals in one night that are told of even when the site answered in between.
MANY_REFUSALS = 3
# Fewer nights, or fewer videos a night, say nothing of what is usual.
MIN_NIGHTS, MIN_USUAL = 3, 5
GB = 1e9
MOST_CHARS, MOST_FAILURES = 300, 5


@dataclass(frozen=True)
class Limits:
    """From where on something is an alert."""

    late_after: timedelta = timedelta(hours=26)
    few_new_share: float = 0.5
    disk_free_gb: float = 2.0
    disk_free_share: float = 0.05


@dataclass(frozen=True)
class StageFailure:
    """A stage of a night that failed, by its code."""

    stage: str
    code: str
    message: str


@dataclass(frozen=True)
class Night:
    """One execution of a job, as far as it has come.

    name: its slot, or its run where somebody started it by hand. n_new: videos first seen in it;
    None: it listed nothing. n_blocked: refusals of the site.
    """

    name: str
    run_id: int
    kind: str
    slot: str | None
    status: str
    started_at: datetime
    finished_at: datetime | None
    error: str | None
    failures: tuple[StageFailure, ...]
    n_blocked: int
    n_new: int | None

    @property
    def has_failed(self) -> bool:
        """Whether it, or a whole stage of it, failed; of another job single rows may have."""
        is_night = self.kind == "nightly"
        return self.status in ("failed", "lost") or (is_night and bool(self.failed_stages))

    @property
    def failed_stages(self) -> list[StageFailure]:
        """The stages that failed as a whole."""
        return [
            failure
            for failure in self.failures
            if failure.code not in WITHIN_BUDGET and failure.stage != TELLING
        ]


@dataclass(frozen=True)
class SiteLeft:
    """A site that is left alone as a whole, until when, and why."""

    site: str
    until: datetime
    reason: str


@dataclass(frozen=True)
class Drift:
    """A number of the ledger that is beyond its control limit, up to a night's judgements.

    what: the number's name. n: forecasts that it is of.
    """

    model: str
    what: str
    night: str
    value: float
    usual: float
    limit: float
    n: int


@dataclass(frozen=True)
class Disk:
    """The disk of the data folder."""

    folder: str
    free_bytes: int
    total_bytes: int


@dataclass(frozen=True)
class Facts:
    """What the rules look at.

    slot: the execution that is asked about. period: the night that states such as a low disk are
    counted by. night: the newest that has ended, or the one that asks. last_good_at: when a night
    last ended well; None: none ever did. first_at: when the first began. n_new_before: of the
    nights before, newest first. exit_code: of a job that died without a word. missed: why a job
    was never begun.
    """

    now: datetime
    slot: str
    period: str
    disk: Disk
    night: Night | None = None
    is_under_way: bool = False
    last_good_at: datetime | None = None
    first_at: datetime | None = None
    n_new_before: tuple[int, ...] = ()
    exit_code: int | None = None
    missed: str | None = None
    sites_left: tuple[SiteLeft, ...] = ()
    drifts: tuple[Drift, ...] = ()
    coverages: tuple[Drift, ...] = ()


@dataclass(frozen=True)
class Alert:
    """What somebody is told, once for each slot and kind."""

    kind: Kind
    slot: str
    title: str
    text: str

    @property
    def key(self) -> str:
        """What it is known by in the journal."""
        return f"{self.slot} {self.kind}"


def alerts_of(facts: Facts, limits: Limits) -> list[Alert]:
    """Return what has to be told, the worst first."""
    found = (rule(facts, limits) for rule in RULES)
    return [alert for alert in found if alert is not None]


def night_failed(facts: Facts, _limits: Limits) -> Alert | None:
    """A night that failed, was lost, or had a stage that failed."""
    night = facts.night
    if facts.exit_code is not None:
        text = (
            f"{facts.slot} ended with exit code {facts.exit_code} before it could say why."
            " Next: look at its log, and start it by hand."
        )
        return Alert("night_failed", _day_of(facts.slot), f"{facts.slot} failed", text)
    if night is None or not night.has_failed:
        return None
    reasons = [
        f"{failure.stage} ({failure.code}): {_short(failure.message)}"
        for failure in night.failed_stages
    ]
    if night.status == "lost":
        reasons.insert(0, "its process died")
    elif night.error:
        reasons.insert(0, _short(night.error))
    n_more = len(reasons) - MOST_FAILURES
    more = [f"and {n_more} more"] if n_more > 0 else []
    again = f"viewcast {night.kind}" + (f" --slot {night.slot}" if night.slot else "")
    others = " The other stages worked on what was there." if night.failed_stages else ""
    text = (
        f"{night.name} failed. {'; '.join([*reasons[:MOST_FAILURES], *more])}.{others} Next:"
        f" `viewcast runs show {night.run_id}` and `viewcast errors`; then `{again}` goes on from"
        " here."
    )
    return Alert("night_failed", _day_of(facts.slot), f"{night.name} failed", text)


def night_late(facts: Facts, limits: Limits) -> Alert | None:
    """A job that was never begun; no good night for too long, told each time that has gone by."""
    if facts.missed is not None:
        text = (
            f"{facts.slot} was not done: {_short(facts.missed)}. Next: `viewcast daemon status`;"
            " the next one does what this one has left."
        )
        return Alert("night_late", _day_of(facts.slot), f"{facts.slot} was missed", text)
    since = facts.last_good_at or facts.first_at
    if since is None or facts.is_under_way:
        return None
    n_spans = int((facts.now - since) / limits.late_after)
    if n_spans < 1:
        return None
    hours = (facts.now - since).total_seconds() / 3600
    ended = "The last good night ended" if facts.last_good_at else "The first night began"
    never = "" if facts.last_good_at else ", and none has been good yet"
    text = (
        f"{ended} {_when(since)}, {hours:.0f} hours ago{never}. Next: `viewcast daemon status`,"
        " `viewcast runs list --kind nightly`, and whether the machine's clock or cron still"
        " starts it."
    )
    slot = f"late/{since:%Y-%m-%dT%H:%M}/{n_spans}"
    return Alert("night_late", slot, f"no good night for {hours:.0f} hours", text)


def few_new_videos(facts: Facts, limits: Limits) -> Alert | None:
    """Fewer new videos than a share of the median of the seven nights before."""
    night = facts.night
    if night is None or night.n_new is None or len(facts.n_new_before) < MIN_NIGHTS:
        return None
    usual = median(facts.n_new_before)
    if usual < MIN_USUAL or night.n_new >= limits.few_new_share * usual:
        return None
    text = (
        f"{night.name} found {night.n_new} new videos, where {usual:g} are usual (median of the"
        f" {len(facts.n_new_before)} nights before). Next: `viewcast runs list --kind scrape` and"
        " `viewcast errors --stage scrape`; open one hashtag's page by hand: the site may have"
        " changed, or shows less to this machine."
    )
    return Alert("few_new_videos", facts.period, f"{night.n_new} new videos, usual {usual:g}", text)


def site_blocked(facts: Facts, _limits: Limits) -> Alert | None:
    """A site that is left alone, or refused us often in the night."""
    n_blocked = facts.night.n_blocked if facts.night else 0
    if not facts.sites_left and n_blocked < MANY_REFUSALS:
        return None
    said = [
        f"{left.site} is left alone until {_when(left.until)}: {_short(left.reason)}."
        for left in facts.sites_left
    ]
    if n_blocked:
        said.append(f"In this night it refused {n_blocked} page{'s' * (n_blocked > 1)}.")
    text = (
        f"{' '.join(said)} Nothing has to be done at once: viewcast comes again by itself, and"
        " later each time. Next, if it stays so: fewer pages (`site.daily_pages`,"
        " `scrape.limit`), another `browser.proxy`, or a visitor's cookies (`browser.cookies`)."
    )
    return Alert("site_blocked", facts.period, "the site refuses to answer", text)


def error_drift(facts: Facts, _limits: Limits) -> Alert | None:
    """Forecasts that came true worse than the control limit of the nights before."""
    if not facts.drifts:
        return None
    said = [
        f"{drift.model}: {drift.what} {drift.value:.3g}, usual {drift.usual:.3g}, limit"
        f" {drift.limit:.3g} ({drift.n} forecasts judged on {drift.night})."
        for drift in facts.drifts
    ]
    text = (
        f"{' '.join(said)} Chance alone stays within the limit. Next: `viewcast ledger show` has"
        " the nights before; look at what was new on the site, and train anew."
    )
    return Alert("error_drift", facts.period, "forecasts miss by more than usual", text)


def coverage_off(facts: Facts, _limits: Limits) -> Alert | None:
    """Intervals that hold less, or more, often than they say."""
    if not facts.coverages:
        return None
    said = [
        f"{drift.model}: {drift.value:.0%} of the last {drift.n} counts lie within their"
        f" intervals, {drift.usual:.0%} should, limit {drift.limit:.0%}."
        for drift in facts.coverages
    ]
    text = (
        f"{' '.join(said)} Until this is over the intervals are not to be relied on. Next:"
        " `viewcast ledger show`; training anew measures them anew."
    )
    return Alert("coverage_off", facts.period, "intervals do not hold as they say", text)


def disk_low(facts: Facts, limits: Limits) -> Alert | None:
    """Less free space than the limit in GB or as a share."""
    disk = facts.disk
    share = disk.free_bytes / disk.total_bytes if disk.total_bytes else 1.0
    if disk.free_bytes >= limits.disk_free_gb * GB and share >= limits.disk_free_share:
        return None
    text = (
        f"The disk of {disk.folder} has {disk.free_bytes / GB:.2f} GB free, {share:.1%} of"
        f" {disk.total_bytes / GB:.1f} GB. A full disk stops downloads and features, and breaks"
        f" nothing that is stored. Next: `du -sh {disk.folder}/*` says what takes it; make room, or"
        " move to a larger disk (`--data`, `features_root`)."
    )
    return Alert("disk_low", facts.period, f"{disk.free_bytes / GB:.1f} GB free", text)


def catalog_closed(kind: Kind, slot: str, reason: str) -> Alert:
    """Give the alert of a catalog that cannot be opened, in its error's words."""
    hint = (
        "Until then no night runs; nothing that is stored is lost."
        if kind == "schema_behind"
        else "Until then no night runs. Next: whether its server runs, its disk has room, and `db`"
        " is right."
    )
    title = "the schema is behind" if kind == "schema_behind" else "the catalog cannot be opened"
    said = _short(reason)
    return Alert(kind, slot, title, f"{said}{'' if said.endswith(('?', '!')) else '.'} {hint}")


RULES: tuple[Callable[[Facts, Limits], Alert | None], ...] = (
    night_failed,
    night_late,
    site_blocked,
    few_new_videos,
    disk_low,
    error_drift,
    coverage_off,
)


def _day_of(slot: str) -> str:
    """Return the day of a slot: a job that fails each hour is told of once a day."""
    return re.sub(r"T\d\d:\d\dZ$", "", slot)


def _short(text: str) -> str:
    line = " ".join(text.split()).rstrip(".")
    return line if len(line) <= MOST_CHARS else line[: MOST_CHARS - 1] + "…"


def _when(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
