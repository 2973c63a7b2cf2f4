"""A toy hearing for the tests of single files; worker processes import this, and no torch."""

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from features.errors import FeatureError, NoAudioTrack, WeightsMissing
from features.extractor import Extracted, Extractor, FeatureSetSpec, Source

N_STATES, WIDTH = 3, 8


class ToyHearing:
    """Hears by the file's name: `silent` has no sound, `kill` ends it, `defect` is one."""

    def __call__(self, sources: Sequence[Source]) -> list[Extracted | FeatureError]:
        return [self._one(source) for source in sources]

    def _one(self, source: Source) -> Extracted | FeatureError:
        if "silent" in source.tiktok_id:
            return NoAudioTrack(f"{source.tiktok_id} has no sound track")
        if "kill" in source.tiktok_id:
            os.kill(os.getpid(), signal.SIGKILL)
        if "defect" in source.tiktok_id:
            raise ValueError("nobody thought of this")
        size = Path(source.path or "").stat().st_size
        states = np.random.default_rng(size).normal(0, 1, (N_STATES, WIDTH)).astype(np.float32)
        detail = {"text": "hello there", "language": "en", "speech_s": 1.5, "pid": os.getpid()}
        return Extracted({"pooled_audio": states, "pooled_speech": states / 2}, detail)


@dataclass(frozen=True)
class ToyHearingPlan:
    """How the toy hears; loud is a setting that changes the feature set."""

    store_root: str
    loud: bool = False
    has_weights: bool = True
    device: str = "cpu"

    def spec(self) -> FeatureSetSpec:
        return FeatureSetSpec("audio", {"loud": self.loud}, "toy", "1", "f" * 64)

    def check(self) -> None:
        if not self.has_weights:
            raise WeightsMissing("the toy's weights are nowhere")

    def build(self) -> Extractor:
        self.check()
        return ToyHearing()
