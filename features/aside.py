"""One kind of feature in a process beside this one, which loads its network while this one loads.

A single file is waited for: what is imported and loaded before costs more than the work itself,
and two processes do it on two cores.
"""

import gc
import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from importlib import import_module
from types import TracebackType
from typing import Final, Self

from features.errors import FeatureError, WorkerLost
from features.extractor import Extracted, Extractor, Source
from features.plan import Plan

#: What a kind's extractor imports; imported at once, before a plan is known.
MODULES: Final = {
    "clip": "features.clip_extractor",
    "visual": "features.visual",
    "audio": "features.audio",
    "frames": "features.frames",
}
#: Seconds that the work took, and what came of it.
Timed = tuple[float, Extracted | FeatureError]


class Aside:
    """A process that makes one kind of feature. Close it, or use it as a context."""

    def __init__(self, kind: str) -> None:
        """Start the process; it imports what the kind needs while the caller goes on."""
        self.kind = kind
        self._plan: Plan | None = None
        self._load_s: float | None = None
        self._start()

    def load(self, plan: Plan) -> None:
        """Begin to load the plan's network; what goes wrong with it is raised by `load_s`."""
        self._plan = plan
        self._ready = self._pool.submit(_build, plan)

    def load_s(self) -> float:
        """Wait until it is loaded; return the seconds that took. Raises what `build` raises."""
        if self._load_s is None:
            try:
                self._load_s = self._ready.result()
            except BrokenProcessPool as error:
                raise WorkerLost(f"the process for {self.kind} died while it loaded") from error
        return self._load_s

    def extract(self, source: Source) -> "Future[Timed]":
        """Begin with a source; ask `result_of` for what comes."""
        if self._is_lost:
            self.close()
            self._start()
            if self._plan is not None:
                self.load(self._plan)
        return self._pool.submit(_extract, source)

    def result_of(self, waiting: "Future[Timed]") -> Timed:
        """Wait for a source's result; a process that died is that source's WorkerLost."""
        self.load_s()
        try:
            return waiting.result()
        except BrokenProcessPool:
            self._is_lost = True  # the next source gets a new one
            return 0.0, WorkerLost(f"the process for {self.kind} died")

    def _start(self) -> None:
        before = set(multiprocessing.active_children())
        # spawn, because a fork of a process that has used torch hangs in OpenMP.
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(1, context, initializer=_prepare)
        self._ready = self._pool.submit(_import, MODULES[self.kind])
        self._children = set(multiprocessing.active_children()) - before
        self._is_lost = False

    def close(self) -> None:
        """End the process; what it has not finished is not wanted any more."""
        for child in self._children:
            child.kill()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


_extractor: Extractor | None = None  # the process's own; the pool offers no other place to keep it


def _prepare() -> None:
    gc.set_threshold(100_000, 20, 100)  # what loading makes stays: looking through it is in vain
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _import(module: str) -> float:
    start = time.perf_counter()
    import_module(module)
    return time.perf_counter() - start


def _build(plan: Plan) -> float:
    global _extractor
    start = time.perf_counter()
    _extractor = plan.build()
    return time.perf_counter() - start


def _extract(source: Source) -> Timed:
    start = time.perf_counter()
    if _extractor is None:  # loading failed, and the caller is told so where it asks for `load_s`
        return 0.0, WorkerLost("nothing is loaded")
    (result,) = _extractor([source])
    return time.perf_counter() - start, result
