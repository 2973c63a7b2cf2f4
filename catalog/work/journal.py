"""The counts, metrics and events of a run, buffered until the catalog is free to take them."""

import logging
import math
import threading
import time
from datetime import timedelta
from typing import Any

from sqlalchemy import update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from catalog.errors import RunLost, readable
from catalog.schema.session import Catalog
from catalog.schema.tables import Event, Run, RunMetric
from catalog.schema.types import insert_into, utc_now
from catalog.work.claims import LEASE_S, extend, give_back

log = logging.getLogger(__name__)

FLUSH_S = 1.0


class Journal:
    """The counters, events and metrics of one run, written in short transactions.

    A step may be inside catalog.write() when it counts; a second transaction would then wait for
    the first for ever. So everything is kept here and written when the thread is free, by the
    heartbeat at the latest. Every write is fenced: it only counts while the run is still ours.
    """

    def __init__(self, catalog: Catalog, run_id: int, uid: str) -> None:
        """Keep the journal of the run that `uid` owns."""
        self.n_total: int | None = None
        self.n_done = self.n_failed = self.n_skipped = 0
        self._catalog, self._run_id, self._uid = catalog, run_id, uid
        self._lock = threading.Lock()
        self._events: list[dict[str, Any]] = []
        self._metrics: dict[tuple[str, str, int], dict[str, Any]] = {}
        self._flushed_at = time.monotonic()
        self._lost = threading.Event()

    def event(self, level: str, code: str, subject: str, detail: dict[str, Any]) -> None:
        """Keep an event of this run."""
        row = {"at": utc_now(), "run_id": self._run_id, "level": level, "code": code}
        with self._lock:
            self._events.append(row | {"subject": readable(subject), "detail": detail})

    def metric(self, part: str, name: str, value: float, step: int) -> None:
        """Keep a metric of this run; the last value of a name counts."""
        finite = math.isfinite(value)
        if not finite:
            self.event("warning", "metric_not_finite", f"{part} {name}", {"value": str(value)})
        row = {"run_id": self._run_id, "split": part, "name": name, "step": step}
        with self._lock:
            self._metrics[part, name, step] = row | {
                "value": float(value) if finite else None,
                "at": utc_now(),
            }

    def flush_if_due(self) -> None:
        """Write what is kept if that was not done this second. Raises RunLost."""
        if time.monotonic() - self._flushed_at >= FLUSH_S:
            self.flush_if_free()
        else:
            self.raise_if_lost()

    def flush_if_free(self) -> None:
        """Write what is kept unless this thread is inside catalog.write(). Raises RunLost."""
        if not self._catalog.is_writing:
            with self._catalog.write() as session:
                self._write(session, {})
        self.raise_if_lost()

    def beat(self, stop: threading.Event, every_s: float) -> None:
        """Say every `every_s` seconds that the run lives, and keep its leases, until `stop`."""
        while not stop.wait(every_s) and not self._lost.is_set():
            try:
                with self._catalog.write() as session:
                    self._write(session, {})
                    extend(session, self._uid, utc_now() + timedelta(seconds=LEASE_S))
            except OperationalError as error:
                # One beat may fail; six in a row make others take the run for dead.
                log.warning("heartbeat of run %s failed: %s", self._run_id, error.orig)

    def finish(self, status: str, error: str | None, *, n_total: int) -> bool:
        """Write all that is left and how the run ended, and give back its leases.

        False when the run was no longer ours to end; then nothing is written.
        """
        self.n_total = n_total
        with self._catalog.write() as session:
            ended = {"status": status, "error": error, "finished_at": utc_now()}
            self._write(session, ended)
            if not self._lost.is_set():
                give_back(session, self._uid, crashed=False)
        return not self._lost.is_set()

    def raise_if_lost(self) -> None:
        """Raise RunLost when another process has ended this run."""
        if self._lost.is_set():
            raise RunLost(
                f"run {self._run_id} was declared dead by another process, which may be repeating"
                " it; what it finished is kept, start it again for the rest"
            )

    def _write(self, session: Session, more: dict[str, Any]) -> None:
        ours = session.execute(
            update(Run)
            .where(Run.id == self._run_id, Run.uid == self._uid, Run.status == "running")
            .values(
                heartbeat_at=utc_now(),
                n_total=self.n_total,
                n_done=self.n_done,
                n_failed=self.n_failed,
                n_skipped=self.n_skipped,
                **more,
            )
            .returning(Run.id)
            .execution_options(synchronize_session=False)
        )
        if ours.first() is None:
            self._lost.set()
            return
        with self._lock:
            events, self._events = self._events, []
            metrics, self._metrics = list(self._metrics.values()), {}
        if events:
            session.execute(insert_into(session, Event), events)
        if metrics:
            statement = insert_into(session, RunMetric)
            new = {"value": statement.excluded.value, "at": statement.excluded.at}
            keys = ["run_id", "split", "name", "step"]
            session.execute(statement.on_conflict_do_update(index_elements=keys, set_=new), metrics)
        self._flushed_at = time.monotonic()
