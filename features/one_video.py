"""Features of one media file by given plans, in memory: nothing is stored, nothing is recorded.

The extractors are those of `extract`, so a file's numbers are the very ones that a video of the
catalog with this file would have.

A single file is waited for: what is imported and loaded before costs more than the work itself,
and two processes do it on two cores.
"""

import gc
import logging
import time
from collections.abc import Mapping
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import av
import numpy as np
from numpy.typing import NDArray

from catalog.facts import KIND_OF_PART
from features.engine import WorkerPool
from features.errors import FeatureError, MissingInput, Undecodable, WorkerLost
from features.extractor import Extracted, Extractor, Source
from features.media import extract_kinds
from features.plan import Plan
from features.store import FeatureStore
from features.video.demux import Damage, decode_all, decoders_reason, read_index
from features.video.picture import Picture

log = logging.getLogger(__name__)


#: What a kind's extractor imports; imported at once, before a plan is known.
MODULES: Final = {
    "clip": "features.video.clip",
    "visual": "features.video.visual",
    "audio": "features.sound.audio",
    "frames": "features.video.frames",
}
#: Of Python's garbage collector: what loading makes stays, and looking through it is in vain.
COLLECT_SELDOM: Final = (100_000, 20, 100)
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
        self._pool = WorkerPool(1, gc.set_threshold, *COLLECT_SELDOM)
        self._ready = self._pool.submit(_import, MODULES[self.kind])
        self._is_lost = False

    def close(self) -> None:
        """End the process; what it has not finished is not wanted any more."""
        self._pool.stop()

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


#: Kinds that are made of another kind, which is then made first.
MADE_OF: Final[Mapping[str, str]] = {"visual": "clip"}
#: The kind that is made of what others read, with whatever of them there is.
TEXT: Final = "text"


@dataclass(frozen=True)
class Probe:
    """What a media file says of itself; sizes are as it is shown, upright, its pixels square.

    duration_s: how long the pictures last, None where the file does not say. fraction_read: share
    of the promised time that has pictures, as in a clip; below 1 the end of the file is missing.
    hdr: which kind of it the pictures are, None for ordinary ones.
    """

    duration_s: float | None
    width_px: int
    height_px: int
    fraction_read: float = 1.0
    hdr: str | None = None


@dataclass(frozen=True)
class Made:
    """One kind of feature of one file, and how long that took.

    tensors: by name, as the kind's extractor describes them; None where the file has nothing of
    this kind or it cannot be read, and then `error` says why.
    """

    seconds: float
    tensors: Mapping[str, NDArray[Any]] | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    error: FeatureError | None = None


@dataclass(frozen=True)
class MadeFeatures:
    """All that was asked for of one file. probe_s: seconds that looking at it took."""

    probe: Probe
    probe_s: float
    made: Mapping[str, Made]


class HeldStore(FeatureStore):
    """A store of what is held in memory: the uri is the kind, and there is one row."""

    def __init__(self) -> None:
        super().__init__("memory:")
        self.held: dict[str, Mapping[str, NDArray[Any]]] = {}

    def read(
        self,
        uri: str,
        row: int,
        *,
        sha256: str | None = None,  # noqa: ARG002 (what never was on a disk needs no checksum)
    ) -> dict[str, NDArray[Any]]:
        """Give what is held of a kind. Raises MissingInput."""
        if row != 0 or uri not in self.held:
            raise MissingInput(f"no {uri} is held; there are: {', '.join(self.held) or 'none'}")
        return dict(self.held[uri])


class OneOff:
    """Extractors by kind, each loaded once.

    load_s: seconds that loading each took, so far as it is loaded.
    """

    def __init__(
        self, plans: Mapping[str, Plan], asides: Mapping[str, Aside] | None = None
    ) -> None:
        """plans: by kind; a kind that is made of another needs the plan of that one too.

        asides: processes for some of the kinds, which begin to load now; the caller closes them.
        """
        for kind in plans:
            if MADE_OF.get(kind, kind) not in plans:
                raise MissingInput(f"{kind} is made of {MADE_OF[kind]}: its plan must be given")
        self.load_s: dict[str, float] = {}
        self._asides = {kind: aside for kind, aside in (asides or {}).items() if kind in plans}
        for kind, aside in self._asides.items():
            aside.load(plans[kind])
        self._plans = {kind: plan for kind, plan in plans.items() if kind not in self._asides}
        self._extractors: dict[str, Extractor] = {}

    def __call__(self, path: Path, caption: str = "") -> MadeFeatures:
        """Make every kind of one file, opened once; caption: what is written about it, for `text`.

        What is wrong with one part costs that part. Raises a FeatureError that is the file's own:
        it is not there, no video, or no frame of it can be decoded; and WeightsMissing,
        WeightsMismatch, which concern every file.
        """
        start = time.perf_counter()
        found = probe(path)
        probe_s = time.perf_counter() - start
        source = Source(0, path.name, path=str(path))
        waiting = {kind: aside.extract(source) for kind, aside in self._asides.items()}
        of_file = {kind: self._extractor(kind) for kind in self._plans if _is_of_file(kind)}
        (found_in,) = extract_kinds(of_file, [source])
        made = {kind: _made(one.seconds, one.result) for kind, one in found_in.items()}
        for kind in self._plans.keys() & MADE_OF.keys():
            before = made[MADE_OF[kind]]
            if before.error is not None:
                made[kind] = Made(0.0, error=before.error)
            else:
                made[kind] = self._make(kind, replace(source, tensors=before.tensors))
        made |= {kind: self._made_aside(kind, result) for kind, result in waiting.items()}
        if TEXT in self._plans:
            made[TEXT] = self._text(made, caption)
        for kind, part in made.items():
            if part.error is not None:
                log.info("%s: no %s: %s", path, kind, part.error)
        return MadeFeatures(found, probe_s, made)

    def with_caption(self, made: MadeFeatures, caption: str) -> MadeFeatures:
        """The same file's features as another caption would have them."""
        if TEXT not in self._plans:
            return made
        return replace(made, made={**made.made, TEXT: self._text(made.made, caption)})

    def _text(self, made: Mapping[str, Made], caption: str) -> Made:
        texts = {"caption": caption} | {
            part: made[kind].detail.get("text", "")
            for part, kind in KIND_OF_PART.items()
            if kind in made
        }
        return self._make(TEXT, Source(0, TEXT, texts=texts))

    def _make(self, kind: str, source: Source) -> Made:
        extractor = self._extractor(kind)
        start = time.perf_counter()
        (result,) = extractor([source])
        return _made(time.perf_counter() - start, result)

    def _made_aside(self, kind: str, waiting: "Future[Timed]") -> Made:
        made = _made(*self._asides[kind].result_of(waiting))
        self.load_s[kind] = self._asides[kind].load_s()
        return made

    def _extractor(self, kind: str) -> Extractor:
        if kind not in self._extractors:
            start = time.perf_counter()
            self._extractors[kind] = self._plans[kind].build()
            self.load_s[kind] = time.perf_counter() - start
        return self._extractors[kind]


def probe(path: Path) -> Probe:
    """Look at a media file and decode its first frame.

    Raises MissingInput, NoVideoStream, and Undecodable for whatever else holds no pictures.
    """
    _require_file(path)
    # An absolute name behind an explicit protocol: no file name can be taken for a URL.
    url = f"file:{path.resolve()}"
    try:
        index = read_index(url)
        first = next(decode_all(url, Damage()), None)
    except FileNotFoundError as error:
        raise MissingInput(f"no file {path}") from error
    except (av.error.FFmpegError, UnicodeError) as error:
        why = _reason(url) or getattr(error, "strerror", None) or error
        raise Undecodable(f"{path} cannot be decoded: {why}") from error
    if first is None:
        raise Undecodable(
            f"{path} holds no frame that can be decoded: "
            f"{_reason(url) or 'the decoder does not say why'}"
        )
    duration_s = index.timeline.end_s if len(index.shown) else index.header_end_s
    shown = Picture(first, index.pixel_aspect).shown
    return Probe(
        duration_s if np.isfinite(duration_s) and duration_s > 0 else None,
        shown.width_px,
        shown.height_px,
        index.fraction_read,
        shown.hdr,
    )


def _is_of_file(kind: str) -> bool:
    return kind not in MADE_OF and kind != TEXT


def _made(seconds: float, result: Extracted | FeatureError) -> Made:
    if isinstance(result, FeatureError):
        return Made(seconds, error=result)
    return Made(seconds, result.tensors, result.detail)


def _require_file(path: Path) -> None:
    try:
        if path.is_dir():
            raise Undecodable(f"{path} is a folder; give the video files in it")
        if not path.exists():
            raise MissingInput(f"no file {path}")
        if not path.is_file():  # a pipe or a device never ends
            raise Undecodable(f"{path} is no regular file")
        if not path.stat().st_size:
            raise Undecodable(f"{path} is empty")
        with path.open("rb"):
            pass
    except OSError as error:
        raise MissingInput(f"{path} cannot be read: {error.strerror or error}") from error


def _reason(url: str) -> str:
    try:
        return decoders_reason(url)
    except FeatureError as error:
        return str(error)
