"""Read the settings: defaults, then viewcast.toml, then VIEWCAST_… variables, then flags."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from catalog.errors import BadSettings

DEFAULT_FILE = Path("viewcast.toml")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SiteSettings(_Section):
    """Where to scrape. A host that is not loopback is refused unless `allow_live` is set."""

    base_url: str = "https://www.tiktok.com"
    allow_live: bool = False
    daily_pages: int | None = Field(
        default=None, ge=0, description="pages a day; empty: 1500 on a live site, else no limit"
    )
    max_wait_s: float = Field(
        default=120.0, ge=0, description="longest Retry-After that is waited for within a run"
    )
    blocks_to_stop: int = Field(
        default=3, ge=1, description="refusals in a row after which a run ends"
    )


class ScrapeSettings(_Section):
    """What one scrape lists."""

    limit: int = Field(default=60, ge=1, description="videos per hashtag")
    fresh_for_h: float = Field(
        default=20.0, ge=0, description="a hashtag listed more recently is left alone"
    )
    keep_handles: bool = Field(
        default=False, description="also store authors' names, not only their keyed hash"
    )


class BrowserSettings(_Section):
    """How long Chromium may take."""

    page_s: float = Field(default=30.0, gt=0, description="for a page to load")
    script_s: float = Field(default=15.0, gt=0, description="for one look at a page")
    command_s: float = Field(default=40.0, gt=0, description="for anything else")
    look_s: float = Field(default=5.0, gt=0, description="to wait for something new on a page")
    listing_s: float = Field(default=600.0, gt=0, description="for one hashtag")


class RefreshSettings(_Section):
    """Which known videos are looked at again."""

    older_than_h: float = Field(default=24.0, ge=0)
    limit: int = Field(default=1_000, ge=1, description="video pages per run")
    per_tag: int = Field(
        default=5, ge=1, description="a hashtag is listed anew for so many videos of it"
    )


class FetchSettings(_Section):
    """What one downloaded file may cost."""

    max_mb: float = Field(default=200.0, gt=0)
    max_s: float = Field(default=120.0, gt=0)
    min_free_gb: float = Field(default=1.0, ge=0)


class ExtractSettings(_Section):
    """How features are computed."""

    workers: int = Field(default=2, ge=0, description="processes; 0 computes in this one")
    batch: int = Field(default=8, ge=1, description="videos per shard")


class ClipSettings(_Section):
    """Which frames a clip holds.

    The paper takes every 200th at 128x72 (section 3.1). The default is smaller and denser: at the
    paper's size the fused regressor has 835 million parameters, 13 GB with Adam's state,
    and a short video would have one or two frames.
    """

    sampling: Literal["frames", "seconds", "uniform"] = Field(
        default="frames", description="every so many frames, every so many seconds, or so many"
    )
    every_frames: int = Field(default=30, ge=1, description="paper: 200")
    every_s: float = Field(default=1.0, gt=0, description="with sampling seconds")
    n_frames: int = Field(default=8, ge=1, description="with sampling uniform")
    max_frames: int = Field(default=16, ge=1, description="later ones are left out; paper: all")
    start_s: float = Field(default=0.0, ge=0, description="what is before is trimmed")
    stop_s: float | None = Field(default=None, gt=0, description="what is after is trimmed")
    window_frames: int = Field(default=1, ge=1, description="mean of so many frames each")
    height_px: int = Field(default=32, ge=8, description="paper: 128")
    width_px: int = Field(default=18, ge=8, description="paper: 72")
    shrink: int | None = Field(
        default=None, ge=1, description="1024x576 divided by it, in place of height and width"
    )
    resize: Literal["area", "paper"] = "area"


class AudioSettings(_Section):
    """Which Whisper hears the videos."""

    model: str = "base"
    weights: Path | None = Field(default=None, description="a .pt file or a converted folder")
    max_s: float = Field(default=600.0, gt=0)
    transcript: bool = True
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="float32", description="the encoder's; auto: half where the machine gains by it"
    )
    device: Literal["cpu", "cuda"] = "cpu"
    keep_wav: Path | None = Field(
        default=None, description="folder that keeps each video's sound as a .wav"
    )


class FramesSettings(_Section):
    """Which frozen torchvision network looks at which frames."""

    backbone: str = Field(default="resnet18", description="a torchvision classifier")
    weights: str = Field(
        default="IMAGENET1K_V1",
        description="a published name, a .pth or .safetensors file, or random:SEED (means nothing)",
    )
    n_frames: int = Field(default=8, ge=1, description="uniform in time")


class PretrainSettings(_Section):
    """The autoencoder's training. The defaults are the paper's (Table II)."""

    hidden: int = Field(default=64, ge=1)
    epochs: int = Field(default=200, ge=1)
    batch: int = Field(default=4, ge=1)
    lr: float = Field(default=1e-4, gt=0)
    patience: int | None = Field(default=20, ge=1)
    seed: int = 0
    normalised: bool = Field(default=False, description="pixels as 0..1; the paper: 0..255")
    depth: Literal["longest", "fixed", "pooled"] = Field(
        default="longest", description="how clips of different length become one batch"
    )
    depth_frames: int = Field(default=16, ge=1, description="of fixed and pooled")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto", description="auto: bf16 where the machine computes in it"
    )
    device: Literal["auto", "cpu", "cuda"] = "auto"


class SplitSettings(_Section):
    """How videos are parted."""

    strategy: Literal["time", "author", "hash", "paper"] = "time"
    val: float = Field(default=0.15, ge=0, lt=1)
    holdout: float = Field(default=0.15, ge=0, lt=1)
    seed: int = 0


class TrainSettings(_Section):
    """What `train` trains when no flag says otherwise."""

    preset: str = "modern"
    seed: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="fp32", description="auto: bf16 where the machine computes in it"
    )


class ScoreSettings(_Section):
    """Which model scores: NAME (the newest version), NAME:VERSION or NAME@ALIAS."""

    model: str = "modern"


class NightlySettings(_Section):
    """When the daemon runs, and what a night may do beyond scraping and scoring."""

    at: str = "04:30"
    timezone: str = "UTC"
    retrain: Literal["if-missing", "always", "never"] = "if-missing"
    refresh: bool = Field(
        default=False, description="also look at known videos that no listing has shown"
    )


class Settings(BaseSettings):
    """Everything that can be set. `viewcast config show --origin` prints it with its source."""

    model_config = SettingsConfigDict(
        env_prefix="VIEWCAST_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    data: Path = Path("data")
    db: str = Field(default="", description="database URL; empty: catalog.db in the data folder")
    features_root: str = Field(
        default="", description="store of features, any fsspec URL; empty: in the data folder"
    )
    author_salt: SecretStr = Field(
        SecretStr(""), description="key of the author hash; empty: a file in the data folder"
    )
    site: SiteSettings = SiteSettings()
    scrape: ScrapeSettings = ScrapeSettings()
    refresh: RefreshSettings = RefreshSettings()
    browser: BrowserSettings = BrowserSettings()
    fetch: FetchSettings = FetchSettings()
    extract: ExtractSettings = ExtractSettings()
    clip: ClipSettings = ClipSettings()
    audio: AudioSettings = AudioSettings()
    frames: FramesSettings = FramesSettings()
    pretrain: PretrainSettings = PretrainSettings()
    split: SplitSettings = SplitSettings()
    train: TrainSettings = TrainSettings()
    score: ScoreSettings = ScoreSettings()
    nightly: NightlySettings = NightlySettings()

    @property
    def data_folder(self) -> Path:
        """The data folder as an absolute path."""
        return self.data.expanduser().resolve()

    @property
    def db_url(self) -> str:
        """The database URL; a SQLite file in the data folder unless one is set."""
        return self.db or f"sqlite:///{self.data_folder / 'catalog.db'}"


@dataclass(frozen=True)
class Loaded:
    """The settings and, for each leaf such as "clip.every_frames", the source that set it."""

    settings: Settings
    origins: Mapping[str, str]


def load_settings(file: Path | None, flags: Mapping[str, Any]) -> Loaded:
    """Merge the four sources; what stands later in the list wins.

    file: the TOML file; None reads ./viewcast.toml when it exists. Raises BadSettings, which
    names the setting and its source, for an unknown name or a value of the wrong type.
    """
    file = file or (DEFAULT_FILE if DEFAULT_FILE.is_file() else None)
    sources = {
        str(file): _read_toml(file) if file else {},
        "environment": EnvSettingsSource(Settings)(),
        "flag": dict(flags),
    }
    merged: dict[str, Any] = {}
    for tree in sources.values():
        merged = merge(merged, tree)

    def origin(leaf: str) -> str:
        return next((name for name in reversed(sources) if _has(sources[name], leaf)), "default")

    try:
        settings = Settings.model_validate(merged)
    except ValidationError as error:
        first = error.errors()[0]
        leaf = ".".join(str(part) for part in first["loc"])
        raise BadSettings(
            f"setting {leaf} ({origin(leaf)}): {first['msg']}, got {first['input']!r}"
        ) from error
    return Loaded(settings, {leaf: origin(leaf) for leaf, _ in leaves(settings.model_dump())})


def masked_url(url: str) -> str:
    """Return a database URL with stars in place of its password."""
    return re.sub(r"(://[^:/@]*:)[^@]*@", r"\1***@", url)


def leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield ("clip.every_frames", 200) and so on, in the order of declaration."""
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadSettings(f"settings file {file} does not exist") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSettings(f"settings file {file} is not TOML: {error}") from error


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one tree of settings over another, section by section."""
    merged = dict(below)
    for name, value in above.items():
        if isinstance(value, Mapping) and isinstance(merged.get(name), Mapping):
            value = merge(merged[name], value)
        merged[name] = value
    return merged


def _has(tree: Mapping[str, Any], leaf: str) -> bool:
    node: Any = tree
    for part in leaf.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return False
        node = node[part]
    return True
