"""Map an extractor over batches, here or in worker processes, and store what comes out.

Workers get sources and give back where the rows were stored; they never see the catalog. A worker
that dies costs its batches a retry and nothing else; when this process dies, its workers exit.
"""

import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cached_property, partial
from types import TracebackType
from typing import Any

from features.errors import FeatureError, WorkerLost
from features.extractor import Extracted, Extractor, FeatureSetSpec, Source
from features.media import Made, extract_kinds
from features.plan import Plan
from features.store import FeatureStore, StoredRow

log = logging.getLogger(__name__)

IN_FLIGHT_PER_WORKER = 2  # one being computed, one waiting: a worker never idles between batches
LOST_POOLS_MAX = 3  # in a row: a pool that dies before its first result is no row's fault

Batch = Sequence[Source]


@dataclass(frozen=True)
class Stored:
    """One video's feature on disk; `seconds` is its share of the batch's time."""

    row: StoredRow
    detail: Mapping[str, Any]
    seconds: float


@dataclass(frozen=True)
class BatchResult:
    """What became of each source of a batch, in their order: by kind."""

    sources: Batch
    results: Sequence[Mapping[str, Stored | FeatureError]]


Results = Generator[BatchResult, None, None]


def extract_batches(
    plans: Mapping[str, Plan], batches: Iterable[Batch], *, workers: int
) -> Results:
    """Extract and store batch after batch, of each source the kinds it wants, by their plans.

    Results come as they finish. workers: 0 computes in this process. `batches` is consumed only
    as far as workers can follow, so that a batch is claimed shortly before it is worked on. Close
    the generator to stop.
    An error that is no row's own ends it: what `build` raises, or WorkerLost when workers keep
    dying.
    """
    if workers == 0:
        return _extract_here(plans, batches)
    return _extract_in_pool(plans, iter(batches), workers)


class _Loaded:
    """The plans' extractors, each built when a batch wants its kind: loading takes seconds."""

    def __init__(self, plans: Mapping[str, Plan], *, n_threads: int | None = None) -> None:
        self.plans = plans
        self.n_threads = n_threads
        self._built: dict[str, Extractor] = {}

    def extractors(self, batch: Batch) -> Mapping[str, Extractor]:
        """Those of the kinds that somebody in the batch wants, in the order of the plans."""
        wanted = [kind for kind in self.plans if any(source.wants(kind) for source in batch)]
        for kind in wanted:
            if kind not in self._built:
                self._built[kind] = self.plans[kind].build()
        torch = sys.modules.get("torch")  # never loaded for its own sake: clips do without
        if torch is not None and self.n_threads is not None:
            torch.set_num_threads(self.n_threads)
        return {kind: self._built[kind] for kind in wanted}

    @cached_property
    def specs(self) -> Mapping[str, FeatureSetSpec]:
        # Once: it may have to checksum a weights file.
        return {kind: plan.spec() for kind, plan in self.plans.items()}

    def extract(self, batch: Batch) -> BatchResult:
        """Extract one batch and write a shard of each kind; it is on disk when this returns."""
        made = extract_kinds(self.extractors(batch), batch)
        results: list[dict[str, Stored | FeatureError]] = [{} for _ in batch]
        for kind, plan in self.plans.items():
            places = [place for place, kinds in enumerate(made) if kind in kinds]
            stored = self._store(kind, plan, [made[place][kind] for place in places])
            for place, result in zip(places, stored, strict=True):
                results[place][kind] = result
        return BatchResult(batch, results)

    def _store(self, kind: str, plan: Plan, made: Sequence[Made]) -> list[Stored | FeatureError]:
        start = time.perf_counter()
        tensors = [one.result.tensors for one in made if isinstance(one.result, Extracted)]
        spec = self.specs[kind]
        rows = iter(FeatureStore(plan.store_root).write(spec.kind, spec.hash, tensors))
        seconds = (time.perf_counter() - start) / max(1, len(tensors))
        return [
            Stored(next(rows), one.result.detail, one.seconds + seconds)
            if isinstance(one.result, Extracted)
            else one.result
            for one in made
        ]


def _extract_here(plans: Mapping[str, Plan], batches: Iterable[Batch]) -> Results:
    loaded = _Loaded(plans)
    for batch in batches:
        yield loaded.extract(batch)


def _extract_in_pool(plans: Mapping[str, Plan], batches: Iterator[Batch], workers: int) -> Results:
    n_lost = 0
    while n_lost < LOST_POOLS_MAX:
        n_lost += 1
        waiting: dict[Future[BatchResult], Batch] = {}
        unsent: list[Batch] = []
        with WorkerPool(workers, _start_worker, plans) as pool:
            try:
                for batch in batches:
                    unsent.append(batch)
                    future = pool.submit(_work, batch)
                    waiting[future] = unsent.pop()
                    if len(waiting) >= workers * IN_FLIGHT_PER_WORKER:
                        for result in _finished(waiting):
                            n_lost = 0
                            yield result
                while waiting:
                    for result in _finished(waiting):
                        n_lost = 0
                        yield result
                return
            except BrokenProcessPool:
                log.warning("a worker died with %d batches on the way", len(waiting) + len(unsent))
        # The pool cannot tell whose batch killed the worker: all that are not finished go back.
        for future, sources in waiting.items():
            is_lost = isinstance(future.exception(), BrokenProcessPool)
            yield _lost(sources, plans) if is_lost else future.result()
        for sources in unsent:
            yield _lost(sources, plans)
    raise WorkerLost(
        f"workers died {LOST_POOLS_MAX} times without finishing one batch, the run is given up"
    )


def _lost(sources: Batch, kinds: Iterable[str]) -> BatchResult:
    lost = WorkerLost("its worker process died")
    return BatchResult(sources, [dict.fromkeys(filter(s.wants, kinds), lost) for s in sources])


def _finished(waiting: dict[Future[BatchResult], Batch]) -> Iterator[BatchResult]:
    """Wait for at least one batch and give all that are finished."""
    done, _ = wait(waiting, return_when=FIRST_COMPLETED)
    for future in done:
        result = future.result()  # a broken pool raises here and leaves the batch waiting
        del waiting[future]
        yield result


class WorkerPool(ProcessPoolExecutor):
    """Processes that are started at once, leave when this one is gone, and can be stopped at once.

    prepare runs first in each of them.
    """

    def __init__(self, workers: int, prepare: Callable[..., None], *arguments: object) -> None:
        # spawn, because a fork of a process that has used torch hangs in OpenMP.
        spawn = multiprocessing.get_context("spawn")
        super().__init__(workers, spawn, initializer=partial(_begin, prepare, *arguments))

    def stop(self) -> None:
        """End the processes; whatever is half-way is worth less than a quick stop."""
        for child in list((self._processes or {}).values()):  # 3.14 calls it kill_workers()
            child.kill()
        self.shutdown(wait=True, cancel_futures=True)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.shutdown(wait=True, cancel_futures=True)
        else:
            self.stop()


def _begin(prepare: Callable[..., None], *arguments: object) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    prepare(*arguments)


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


_worker: _Loaded | None = None  # a worker's own; the pool offers no other place to keep it


def _start_worker(plans: Mapping[str, Plan]) -> None:
    # Nothing is built here: an error in here would only say that the pool is broken.
    global _worker
    # One thread each: with several workers, more threads only wait for each other.
    _worker = _Loaded(plans, n_threads=1)


def _work(batch: Batch) -> BatchResult:
    assert _worker is not None
    return _worker.extract(batch)
