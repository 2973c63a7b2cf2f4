"""The settings of feature extraction: one frozen class per section, with its one set of defaults.

Nothing heavy is imported here, so that `--help` and `config show` stay quick. What only torchvision
or Whisper can tell is checked when a plan is made.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, Self

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

STRICT: Final = ConfigDict(extra="forbid", allow_inf_nan=False, defer_build=True)
#: A stage's device; empty: the setting `device` of all stages.
STAGE_DEVICE: Final = r"^(|auto|cpu|cuda(:[0-9]+)?)$"
#: The paper's intermediate size (section on preprocessing): frames meet at 1024x576 first.
PAPER_HEIGHT_PX, PAPER_WIDTH_PX = 1024, 576

Sampling = Literal["frames", "seconds", "uniform", "moments"]
Resize = Literal["area", "paper"]
FrameFit = Literal["tiles", "pad", "crop"]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]
Lane = Literal["states", "text"]


@dataclass(frozen=True, config=STRICT)
class ExtractConfig:
    """How features are computed. On a GPU one worker is the default: each holds its own network."""

    workers: int = Field(default=2, ge=0, description="processes; 0 computes in this one")
    batch: int = Field(default=8, ge=1, description="videos per shard")
    kinds: tuple[str, ...] = Field(
        default=("clip", "audio", "opening", "thumbnail", "frames"),
        min_length=1,
        description="made by `extract files` and in a night, each file opened once",
    )


class Moment(NamedTuple):
    """A moment of a video: so many seconds and so great a part of its time after the start."""

    seconds: float
    part: float


#: Near the end, not at it: many videos fade out or end on a black frame.
NAMED_MOMENTS: Final = {
    "start": Moment(0.0, 0.0),
    "half": Moment(0.0, 0.5),
    "end": Moment(0.0, 0.95),
}


def read_moments(text: str) -> tuple[Moment, ...]:
    """Read "start,1.5s,30%,half,end". Raises ValueError."""
    return tuple(_moment(word.strip()) for word in text.split(","))


def _moment(word: str) -> Moment:
    if word in NAMED_MOMENTS:
        return NAMED_MOMENTS[word]
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(s?|%)", word, re.ASCII)
    if found is None or (found[2] == "%" and float(found[1]) > 100):
        raise ValueError(f"moment {word!r} is none of start, half, end, nor like 1.5s or 30%")
    return Moment(0.0, float(found[1]) / 100) if found[2] == "%" else Moment(float(found[1]), 0.0)


@dataclass(frozen=True, config=STRICT)
class SamplingConfig:
    """Which frames are kept.

    sampling "uniform" keeps exactly n_frames: what is on show in the middle of so many equal parts
    of the time, a frame twice where it is on show for two of them. "frames" keeps every
    every_frames-th; "seconds" what is on show every every_s seconds; both stop at max_frames.
    "moments" keeps what is on show at each of moments; one after the end is the last frame.
    None: "frames" or "seconds" where every_frames or every_s is set, otherwise "uniform": the
    whole video, however long it is.
    start_s and stop_s trim first: only frames that appear between them exist; stop_s None is the
    end. window_frames: each kept frame is the mean of so many consecutive ones around it.
    """

    sampling: Sampling | None = Field(
        default=None, description="so many frames, every so many frames, or every so many seconds"
    )
    every_frames: int | None = Field(
        default=None, ge=1, description="with sampling frames, 30; paper: 200 (section 2.2)"
    )
    every_s: float | None = Field(default=None, gt=0, description="with sampling seconds, 1")
    n_frames: int = Field(default=16, ge=1, description="with sampling uniform")
    max_frames: int = Field(default=16, ge=1, description="later ones are left out; paper: all")
    moments: str = Field(default="start,half,end", description="with sampling moments")
    start_s: float = Field(default=0.0, ge=0, description="what is before is trimmed")
    stop_s: float | None = Field(default=None, gt=0, description="what is after is trimmed")
    window_frames: int = Field(default=1, ge=1, description="mean of so many frames each")

    def __post_init__(self) -> None:
        """Refuse what leaves no frame to keep."""
        if self.stop_s is not None and not self.start_s < self.stop_s:
            raise ValueError(f"stop_s is {self.stop_s}, it must be above start_s {self.start_s}")
        read_moments(self.moments)
        if self.sampling is None and None not in (self.every_frames, self.every_s):
            raise ValueError("every_frames and every_s are both set: say which one with sampling")

    @property
    def technique(self) -> Sampling:
        """What `sampling` says, or what is set says of it."""
        if self.sampling is not None:
            return self.sampling
        if self.every_frames is not None:
            return "frames"
        return "uniform" if self.every_s is None else "seconds"

    @property
    def step_frames(self) -> int:
        """With "frames": every so many one is kept."""
        return 30 if self.every_frames is None else self.every_frames

    @property
    def step_s(self) -> float:
        """With "seconds": the time between two."""
        return 1.0 if self.every_s is None else self.every_s

    def spec(self) -> dict[str, int | float | str]:
        """Give only the settings that change the numbers, for the name of the feature set."""
        settings = asdict(self) | {
            "sampling": self.technique,
            "every_frames": self.step_frames,
            "every_s": self.step_s,
        }
        used = {name: settings.pop(name) for name in _USES[self.technique]}
        for name in ("every_frames", "every_s", "n_frames", "max_frames", "moments"):
            settings.pop(name, None)
        return {
            **used,
            **{name: value for name, value in settings.items() if value != _OFF.get(name)},
        }


_USES: Final[dict[Sampling, tuple[str, ...]]] = {
    "frames": ("every_frames", "max_frames"),
    "seconds": ("every_s", "max_frames"),
    "uniform": ("n_frames",),
    "moments": ("moments",),
}
#: What stands at this is left out: a setting that is new here renames no older feature.
_OFF: Final = {"sampling": "frames", "start_s": 0.0, "stop_s": None, "window_frames": 1}


@dataclass(frozen=True, config=STRICT)
class ClipConfig(SamplingConfig):
    """How a clip is sampled and sized.

    The paper takes every 200th frame at 128x72: `PAPER_CLIP`. The default is smaller and takes 16
    frames from the whole of a video: at the paper's size the fused regressor has 835 million
    parameters, 13 GB with Adam's state, and a short video would have one or two frames.

    resize "area" averages and so keeps what is small and moving, and letterboxes at the clip's
    own size; "paper" letterboxes at 1024x576 and is the original's pair of bilinear steps, which
    reads 4 of every 64 pixels. Numbers of the two must never be mixed. shrink: sets height_px and
    width_px to so many times less than 1024x576, as the paper's setting of that name (8) does.
    """

    height_px: int = Field(default=32, ge=1, description="paper: 128")
    width_px: int = Field(default=18, ge=1, description="paper: 72")
    shrink: int | None = Field(
        default=None,
        ge=1,
        le=PAPER_WIDTH_PX,
        description="1024x576 divided by it, in place of height and width",
    )
    resize: Resize = "area"

    def __post_init__(self) -> None:
        """Let shrink set the size."""
        super().__post_init__()
        if self.shrink is not None:
            # The frozen dataclass's own way in.
            object.__setattr__(self, "height_px", PAPER_HEIGHT_PX // self.shrink)
            object.__setattr__(self, "width_px", PAPER_WIDTH_PX // self.shrink)

    def spec(self) -> dict[str, int | float | str]:
        """Give only the settings that change the numbers: of shrink, the size that it sets."""
        spec = super().spec()
        spec.pop("shrink", None)
        return spec

    def as_trained(self, spec: Mapping[str, Any]) -> Self:
        """The settings of a feature set; what its spec leaves out is off there, whatever is set."""
        then = {**_OFF, **spec}
        return type(self)(**{f.name: then[f.name] for f in fields(self) if f.name in then})


#: Section 3.1 of the paper. It has no limit; 64 are 7 minutes at 30 frames a second.
PAPER_CLIP: Final = ClipConfig(
    sampling="frames", every_frames=200, max_frames=64, height_px=128, width_px=72
)


@dataclass(frozen=True, config=STRICT)
class VisualConfig:
    """Where clips are embedded; what changes the numbers is in their clips and the weights."""

    device: str = Field(default="", pattern=STAGE_DEVICE, description="empty: `device`")


@dataclass(frozen=True, config=STRICT)
class AudioConfig:
    """Which Whisper hears the videos.

    model: a size of Whisper's. max_s: how much of a file is heard. transcript: False leaves the
    decoder out, and with it the words and pooled_speech. dtype: what the encoder computes in, the
    decoder always computes in float32; "auto" is settled when the plan is made, so that the fact
    is stored. lane: "text" is for who wants the words alone: it encodes no more silence behind a
    short sound than reading needs, and keeps no states. weights, device and keep_wav change no
    number.
    """

    model: str = "base"
    lane: Lane = Field(default="states", description="text: the words alone, at less cost")
    weights: Path | None = Field(default=None, description="a .pt file or a converted folder")
    max_s: float = Field(default=600.0, gt=0)
    transcript: bool = True
    dtype: Dtype = Field(
        default="float32", description="the encoder's; auto: half where the machine gains by it"
    )
    device: str = Field(default="", pattern=STAGE_DEVICE, description="empty: `device`")
    keep_wav: Path | None = Field(
        default=None, description="folder that keeps each video's sound as a .wav"
    )

    def as_trained(self, spec: Mapping[str, Any]) -> Self:
        """The settings of a feature set, with the weights and the device of these."""
        names = ("model", "max_s", "transcript", "dtype")
        lane = spec.get("lane", "states")
        return replace(self, lane=lane, **{name: spec[name] for name in names})


@dataclass(frozen=True, config=STRICT)
class FramesConfig:
    """Which frames are looked at, and by whom.

    backbone: a classifier of torchvision, or efficientnet_lite0, whose weights come with a package.
    weights: the name of its published weights (such as IMAGENET1K_V1, or DEFAULT), a .pth or
    .safetensors file, or random:SEED, which means nothing and needs no download. n_frames: so many
    frames, uniform in time. fit: "tiles" covers each picture by two squares, "pad" fits it into
    one on grey, "crop" sees its middle only, as the weights' own transforms. device changes no
    number.
    """

    backbone: str = Field(
        default="resnet18", description="a torchvision classifier, or efficientnet_lite0"
    )
    weights: str = Field(
        default="IMAGENET1K_V1",
        description="a published name, a .pth or .safetensors file, or random:SEED (means nothing)",
    )
    n_frames: int = Field(default=8, ge=1, description="uniform in time")
    fit: FrameFit = Field(
        default="tiles",
        description="the whole picture in two squares, or in one on grey, or its middle",
    )
    device: str = Field(default="", pattern=STAGE_DEVICE, description="empty: `device`")

    def as_trained(self, spec: Mapping[str, Any]) -> Self:
        """The settings of a feature set, on the device of these; a file is the one set here."""
        weights = str(spec["weights"]).partition(" (")[0]  # a published name stands with its file
        weights = self.weights if weights == "file" else weights
        names = ("backbone", "n_frames")
        then = {name: spec[name] for name in names}
        return replace(self, weights=weights, fit=spec.get("fit", "crop"), **then)


@dataclass(frozen=True, config=STRICT)
class PlainConfig:
    """Settings of which each one changes the numbers, and which a feature set keeps as they are."""

    def as_trained(self, spec: Mapping[str, Any]) -> Self:
        """The settings of a feature set."""
        return replace(self, **{f.name: spec[f.name] for f in fields(self)})


@dataclass(frozen=True, config=STRICT)
class OcrConfig(PlainConfig):
    """When the screen is looked at for text, and which lines of it count.

    longest_px: a picture is read at this size of its longer side, or at its own where that is
    less. min_score: lines that the reader is less sure of are left out, but counted. Of 192 drawn
    lines it was sure by 0.85 or more of all that it read right (docs/benchmarks.md).
    """

    moments: str = Field(
        default="0.5s,2s,half,end", description="seconds (2s), parts (30%), start, half, end"
    )
    longest_px: int = Field(default=960, ge=64, le=4096, description="a smaller picture stays")
    min_score: float = Field(default=0.8, ge=0, le=1, description="less sure lines are left out")

    def __post_init__(self) -> None:
        """Refuse moments that nobody can read."""
        read_moments(self.moments)


@dataclass(frozen=True, config=STRICT)
class TextConfig(PlainConfig):
    """How a video's texts are embedded. max_chars: of each text, what comes later is left out."""

    max_chars: int = Field(default=20_000, ge=1, description="of a text, the rest is left out")


@dataclass(frozen=True, config=STRICT)
class OpeningConfig(PlainConfig):
    """What the plain numbers of `opening` are about. All settings change them.

    opening_s: how long the opening is. rate_hz: so many frames a second are compared. max_s: how
    much of a file is looked at and heard.
    """

    opening_s: float = Field(default=3.0, gt=0)
    rate_hz: float = Field(default=12.0, gt=0, le=60)
    max_s: float = Field(default=600.0, gt=0)


@dataclass(frozen=True, config=STRICT)
class ThumbnailConfig(PlainConfig):
    """How large a thumbnail is, in pixels and in bytes."""

    side_px: int = Field(default=320, ge=16, le=2048, description="the longer side")
    quality: int = Field(default=75, ge=1, le=100, description="of the WebP")


#: The settings of a kind that is made of media files.
KindConfig = ClipConfig | AudioConfig | FramesConfig | OcrConfig | OpeningConfig | ThumbnailConfig

SECTIONS: Final[Mapping[str, type]] = {
    "extract": ExtractConfig,
    "clip": ClipConfig,
    "visual": VisualConfig,
    "audio": AudioConfig,
    "frames": FramesConfig,
    "ocr": OcrConfig,
    "opening": OpeningConfig,
    "thumbnail": ThumbnailConfig,
    "text": TextConfig,
}
