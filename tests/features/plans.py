"""Plans for the tests of the engine; worker processes import this, so it must not load torch."""

import fcntl
import os
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from features.errors import FeatureError, Undecodable, WeightsMismatch
from features.extractor import Extracted, Extractor, FeatureSetSpec, Source
from features.media import FileExtractor
from features.plan import FilePlan


class ToyExtractor:
    """Does what a source's name says: `bad`, `kill`, `hang`; anything else is a good row."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, sources: Sequence[Source]) -> list[Extracted | FeatureError]:
        return [self._one(source) for source in sources]

    def _one(self, source: Source) -> Extracted | FeatureError:
        if source.tiktok_id == "bad":
            return Undecodable("bad on purpose")
        if source.tiktok_id == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if source.tiktok_id == "hang":
            hang_with_a_lock(self.folder / f"{source.video_id}.lock")
        numbers = np.random.default_rng(source.video_id).random((3, 4), np.float32)
        return Extracted({"toy": numbers}, {"pid": os.getpid()})


def hang_with_a_lock(path: Path) -> None:
    """Never return; whoever can take the lock knows that this process is gone."""
    file = path.with_suffix(".tmp").open("w")
    fcntl.flock(file, fcntl.LOCK_EX)
    path.with_suffix(".tmp").rename(path)
    threading.Event().wait()


def is_locked(path: Path) -> bool:
    """True while the process that hangs with this lock lives."""
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@dataclass(frozen=True)
class ToyPlan:
    """A feature that needs no media and no weights."""

    store_root: str
    is_broken: bool = False

    def spec(self) -> FeatureSetSpec:
        return FeatureSetSpec("toy", {}, "toy", "1", None)

    def check(self) -> None:
        pass

    def build(self) -> Extractor:
        if self.is_broken:
            raise WeightsMismatch("not the weights that were named")
        return ToyExtractor(Path(self.store_root))


class SpyExtractor:
    """Tells in each row's detail whether its process has loaded torch."""

    def __init__(self, extractor: FileExtractor) -> None:
        self.extractor = extractor
        self.pictures = extractor.pictures
        self.sound = extractor.sound

    def __call__(self, sources: Sequence[Source]) -> list[Extracted | FeatureError]:
        return [
            Extracted(result.tensors, {"torch": "torch" in sys.modules, **result.detail})
            if isinstance(result, Extracted)
            else result
            for result in self.extractor(sources)
        ]


@dataclass(frozen=True)
class SpyPlan(FilePlan):
    """Of any kind, with a look at what the worker has loaded."""

    def build(self) -> Extractor:
        return SpyExtractor(super().build())
