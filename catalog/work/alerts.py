"""Tell somebody: what is wrong, once for each slot and kind, tried again until it was taken.

An alert is written into the journal first, then sent with no transaction open, then its delivery
is written. So what is killed in between is sent again by the next check: an alert may come twice,
never not at all. Where the catalog cannot be opened, a file in the data folder is the journal.
"""

import json
import logging
import platform
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from catalog.alerts import Alert, Facts, Kind, alerts_of, catalog_closed
from catalog.errors import Busy, CatalogError, SchemaBehind, masked_url
from catalog.files import atomic_file, locked
from catalog.read.nights import facts_of
from catalog.schema.session import Catalog
from catalog.schema.tables import Event
from catalog.schema.types import utc_now
from catalog.settings import Settings
from catalog.work.channels import Channel, Delivery, Message, channels_of, ping, send
from catalog.work.runs import FailureBudget, Outcome, RunInProgress, record_run

if TYPE_CHECKING:
    from catalog.console import App

log = logging.getLogger(__name__)

RAISED, SENT, FAILED, PINGED = "alert_raised", "alert_sent", "alert_failed", "pinged"
LOCK, JOURNAL = "alerts.lock", "alerts.json"
# What was not taken for so long tells nobody anything new.
KEPT = timedelta(days=3)
# A slot is not asked about again after so long.
KNOWN = timedelta(days=60)
WAIT_S, POLL_S = 120.0, 0.2


@dataclass(frozen=True)
class Waiting:
    """An alert that some channel has not taken yet."""

    key: str
    kind: str
    at: datetime
    title: str
    text: str
    channels: tuple[str, ...]


def run_alerts(
    app: "App",
    *,
    quiet: bool = True,  # noqa: ARG001 - every stage of a night is called alike
    parent_id: int | None = None,
    slot: str | None = None,
) -> Outcome:
    """Look at how things stand, tell whom the settings name, and record that as a run.

    parent_id: the night that this ends. slot: the execution of a job that has ended, or should
    have begun. Neither: the newest night. With either the dead man's switch is told, too.
    """
    settings = app.settings
    params = {"slot": slot, "channels": [one.name for one in channels_of(settings.alerts.urls)]}
    budget = FailureBudget(min_failures=10**9)  # a dead channel keeps nothing from the others
    with (
        one_at_a_time(settings.data_folder),
        record_run(app.catalog, "alerts", params=params, parent_id=parent_id, budget=budget) as run,
    ):
        with app.catalog.read() as session:
            facts = facts_of(session, settings.data_folder, slot=slot, parent_id=parent_id)
        found = wanted(facts, settings)
        _raise(app.catalog, run, found, settings)
        _send_all(app.catalog, run, settings)
        if (parent_id or slot) and facts.night is not None and facts.night.kind == "nightly":
            _ping(app.catalog, run, facts.slot, settings, is_good=not facts.night.has_failed)
    return run.outcome


def in_background(tell: Callable[[], object]) -> threading.Thread:
    """Tell in a thread of its own, for the daemon, which must not wait for a mail server.

    What goes wrong in it is logged; the next check does what it has left.
    """

    def look() -> None:
        try:
            tell()
        except (CatalogError, SQLAlchemyError) as error:
            log.error("nobody could be told: %s", error)

    thread = threading.Thread(target=look, name="alerts", daemon=True)
    thread.start()
    return thread


def wanted(facts: Facts, settings: Settings) -> list[Alert]:
    """Return what has to be told, less what nobody wants to be told."""
    found = alerts_of(facts, settings.alerts.limits)
    return [alert for alert in found if alert.kind not in settings.alerts.mute]


@contextmanager
def one_at_a_time(data_folder: Path) -> Iterator[None]:
    """Wait until no other process of this data folder sends alerts. Raises Busy.

    Where no lock can be written, as on a full disk, others may tell the same.
    """
    deadline_s = time.monotonic() + WAIT_S
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(locked(data_folder / LOCK, "alerts are being sent"))
            except Busy:
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(POLL_S)
                continue
            except OSError as error:
                log.warning("%s cannot be written: %s", LOCK, error)
            break
        yield


def _raise(
    catalog: Catalog, run: RunInProgress, found: Sequence[Alert], settings: Settings
) -> None:
    """Write down each alert that was not written down before."""
    names = [channel.name for channel in channels_of(settings.alerts.urls)]
    with catalog.write() as session:
        since = utc_now() - KNOWN
        known = set(session.scalars(select(Event.subject).where(*_of(RAISED, since))))
        for alert in found:
            if alert.key in known:
                run.skipped(alert.key, "told_before")
                continue
            detail = {**asdict(alert), "channels": names}
            session.add(
                Event(
                    at=utc_now(),
                    run_id=run.id,
                    level="warning",
                    code=RAISED,
                    subject=alert.key,
                    detail=detail,
                )
            )
            log.warning("%s: %s", alert.key, alert.text)


def _of(code: str, since: datetime) -> tuple[Any, ...]:
    return Event.code == code, Event.at >= since


def _send_all(catalog: Catalog, run: RunInProgress, settings: Settings) -> None:
    with catalog.read() as session:
        waiting = waiting_alerts(session)
    channels = channels_of(settings.alerts.urls)
    units = [(one, to) for one in waiting for to in channels if to.name in one.channels]
    run.expect(len(units))
    for one, channel in units:
        delivery = _sent(channel, message_of(one, settings.data_folder), settings)
        _record(run, one.key, delivery, {"kind": one.kind})


def waiting_alerts(session: Session) -> list[Waiting]:
    """Return the alerts of the last days that some channel has not taken, the oldest first."""
    since = utc_now() - KEPT
    taken = {
        (event.subject, event.detail.get("channel"))
        for event in session.scalars(select(Event).where(*_of(SENT, since)))
    }
    raised = session.scalars(select(Event).where(*_of(RAISED, since)).order_by(Event.id))
    found = (_waiting(event.at, event.detail, taken, event.subject) for event in raised)
    return [one for one in found if one.channels]


def _waiting(at: datetime, alert: Any, taken: Collection[tuple[str, Any]], key: str) -> Waiting:
    left = tuple(name for name in alert["channels"] if (key, name) not in taken)
    return Waiting(key, alert["kind"], at, alert["title"], alert["text"], left)


def message_of(one: Waiting, data_folder: Path) -> Message:
    """Lay an alert out: what is wrong, what to do next, and of which catalog."""
    where = f"{one.kind}, {one.at:%Y-%m-%d %H:%M} UTC, {platform.node()}:{data_folder}"
    # Errors' words may hold the address of a database or a proxy.
    return Message(f"viewcast: {one.title}", masked_url(f"{one.text}\n\n{where}"))


def _sent(channel: Channel, message: Message, settings: Settings) -> Delivery:
    return send(channel, message, settings.alerts.retry_after_s)


def _record(run: RunInProgress, key: str, delivery: Delivery, detail: dict[str, Any]) -> None:
    if delivery.reason is None:
        run.note(key, SENT, {**detail, **asdict(delivery)})
        run.done()
        log.info("%s: %s has taken it", key, delivery.channel)
    else:
        times = f"{delivery.n_tries} tries" if delivery.n_tries != 1 else "1 try"
        run.failed(key, FAILED, f"{delivery.channel}: {delivery.reason}, {times}")
        log.error("%s: %s has not taken it: %s", key, delivery.channel, delivery.reason)


def _ping(
    catalog: Catalog, run: RunInProgress, slot: str, settings: Settings, *, is_good: bool
) -> None:
    """Tell the dead man's switch how a night went, once."""
    key = f"{slot} {'good' if is_good else 'bad'}"
    url = ping_address(settings, is_good=is_good)
    with catalog.read() as session:
        known = session.scalars(select(Event.subject).where(*_of(PINGED, utc_now() - KNOWN)))
        is_told = key in set(known)
    if not url or is_told:
        return
    delivery = ping(url, settings.alerts.retry_after_s)
    if delivery.reason is None:
        run.note(key, PINGED, asdict(delivery))
        run.done()
    else:
        run.failed(key, FAILED, f"ping: {delivery.reason}, {delivery.n_tries} tries")


def ping_address(settings: Settings, *, is_good: bool) -> str:
    """Return what to ask for after a good, or a bad, night; empty: nothing."""
    url = settings.alerts.ping_url.get_secret_value()
    if is_good or not url:
        return url
    own = settings.alerts.ping_fail_url.get_secret_value()
    path, mark, query = url.partition("?")
    return own or f"{path.rstrip('/')}/fail{mark}{query}"


def journal(session: Session, limit: int) -> list[dict[str, Any]]:
    """Return what was raised, sent, not taken and pinged, the newest first."""
    codes = (RAISED, SENT, FAILED, PINGED)
    newest = select(Event).where(Event.code.in_(codes)).order_by(Event.id.desc()).limit(limit)
    return [
        {
            "at": event.at.isoformat(timespec="seconds"),
            "code": event.code,
            "subject": event.subject,
            "channel": event.detail.get("channel"),
            "text": event.detail.get("text") or event.detail.get("message"),
        }
        for event in session.scalars(newest)
    ]


def tell_closed(settings: Settings, error: Exception) -> list[Delivery]:
    """Tell, once a day, that the catalog cannot be opened, and why: in a driver's words, or ours.

    No table can be trusted then, so what was told is kept in a file of the data folder.
    """
    kind: Kind = "schema_behind" if isinstance(error, SchemaBehind) else "catalog_unreachable"
    channels = channels_of(settings.alerts.urls)
    if kind in settings.alerts.mute or not channels:
        return []
    now = utc_now()
    reason = str(getattr(error, "orig", None) or error)  # the driver's own: without the statement
    alert = catalog_closed(kind, f"day/{now:%Y-%m-%d}", masked_url(reason))
    names = tuple(channel.name for channel in channels)
    with one_at_a_time(settings.data_folder):
        journal = _Closed(settings.data_folder / JOURNAL)
        left = [name for name in names if name not in journal.taken(alert.key, now)]
        one = Waiting(alert.key, kind, now, alert.title, alert.text, tuple(left))
        deliveries = []
        for channel in channels:
            if channel.name not in left:
                continue
            delivery = _sent(channel, message_of(one, settings.data_folder), settings)
            deliveries.append(delivery)
            if delivery.reason is None:
                journal.add(alert.key, channel.name, now)
            else:
                log.error("%s: %s has not taken it: %s", one.key, channel.name, delivery.reason)
    return deliveries


class _Closed:
    """What was told while the catalog could not be opened: keys, channels and times in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._rows: list[dict[str, str]] = json.loads(path.read_text("utf-8"))["sent"]
        except (OSError, ValueError, KeyError, TypeError):
            self._rows = []  # told twice rather than never

    def taken(self, key: str, now: datetime) -> set[str]:
        self._rows = [row for row in self._rows if row["at"] >= (now - KNOWN).isoformat()]
        return {row["channel"] for row in self._rows if row["key"] == key}

    def add(self, key: str, channel: str, now: datetime) -> None:
        self._rows.append({"at": now.isoformat(), "key": key, "channel": channel})
        try:
            with atomic_file(self._path) as temporary:
                temporary.write_text(json.dumps({"sent": self._rows}, indent=1), "utf-8")
        except OSError as error:
            log.warning("%s cannot be written, so this may be told again: %s", JOURNAL, error)


def try_channels(settings: Settings) -> list[Delivery]:
    """Send a test message to every channel, and ask for the address of a good night."""
    message = Message(
        "viewcast: a test",
        "This is what an alert looks like. Nothing is wrong."
        f"\n\ntest, {utc_now():%Y-%m-%d %H:%M} UTC, {platform.node()}:{settings.data_folder}",
        is_bad=False,
    )
    found = [_sent(channel, message, settings) for channel in channels_of(settings.alerts.urls)]
    if url := ping_address(settings, is_good=True):
        found.append(ping(url, settings.alerts.retry_after_s))
    return found
