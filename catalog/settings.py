"""Read the settings: defaults, then viewcast.toml, then VIEWCAST_… variables, then flags.

What the catalog itself needs stands here. Each stage has a class of its own in its own room, and
whoever loads the settings hands those in by the name of their section.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    create_model,
    field_validator,
)
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from catalog.ages import AgeRule
from catalog.alerts import Kind, Limits
from catalog.errors import BadSettings, masked_url
from catalog.logs import LogFormat
from catalog.verdict import LEAST_GAIN

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

DEFAULT_FILE = Path("viewcast.toml")

Section = TypeVar("Section")


class DaemonSettings(BaseModel):
    """When the daemon starts what: cron expressions on the clock of a zone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    timezone: str = Field(default="UTC", description="of all times, such as Europe/Berlin")
    nightly: str = Field(default="30 4 * * *", description="when a night is due; empty: never")
    retrain: str = Field(default="0 7 * * sun", description="when `retrain` is due; empty: never")
    refresh: str = Field(default="", description="when `refresh` is due besides the nights")
    catch_up_h: float = Field(
        default=12.0, ge=0, le=24 * 30, description="a slot that was missed by less is made up for"
    )


def _scope(value: object) -> object:
    """Read what was a switch before."""
    return {"true": "all", "false": "due"}.get(str(value).lower(), value)


def _not_always(value: object) -> object:
    """Say what to use instead of what is no more."""
    if value == "always":
        raise ValueError(
            "'always' is no more: a night trains no new version. Retrain on a clock of its own, by "
            "the daemon's job `retrain` or `viewcast retrain`, which promotes only what is better; "
            "here write if-missing or never"
        )
    return value


class NightlySettings(BaseModel):
    """What a night may do beyond scraping and scoring."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    retrain: Annotated[Literal["if-missing", "never"], BeforeValidator(_not_always)] = Field(
        default="if-missing", description="train a first version where a model has none"
    )
    refresh: Annotated[Literal["due", "all", "never"], BeforeValidator(_scope)] = Field(
        default="due",
        description="due: of known videos those without a count and those that come of age; all",
    )
    stage_hours: float = Field(
        default=3.0, ge=0, description="longest time of a stage; 0: as long as it likes"
    )
    hours_of: dict[str, Annotated[float, Field(ge=0)]] = Field(
        default={}, description="the same of single stages, by name"
    )

    def hours(self, stage: str) -> float:
        """Longest time of a stage, h; 0: as long as it likes."""
        return self.hours_of.get(stage, self.stage_hours)


class AgeSettings(BaseModel):
    """At which ages views are reported, and how near to an age counts have to be."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    days: tuple[Annotated[float, Field(gt=0, le=3650)], ...] = Field(
        default=(1, 7, 30), description="ages of videos at which their views are reported, days"
    )
    reach: float = Field(
        default=AgeRule.reach,
        gt=0,
        lt=1,
        description="how far from an age the two counts around it may be, as a share of it",
    )
    tolerance: float = Field(
        default=AgeRule.tolerance,
        ge=0,
        lt=1,
        description="how far one count that stands alone may be, as a share of it",
    )

    @property
    def all_s(self) -> tuple[int, ...]:
        """The ages in whole seconds, each once, the youngest first."""
        return tuple(sorted({max(1, round(days * 86_400)) for days in self.days}))

    @property
    def rule(self) -> AgeRule:
        """The rule that counts at an age go by."""
        return AgeRule(self.reach, self.tolerance)


class AlertSettings(BaseModel):
    """Who is told that something is wrong, and from where on it is."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    urls: tuple[SecretStr, ...] = Field(
        default=(), description="where alerts go, in Apprise's addresses: slack://…, mailtos://…"
    )
    ping_url: SecretStr = Field(
        default=SecretStr(""), description="address asked for after each good night; empty: none"
    )
    ping_fail_url: SecretStr = Field(
        default=SecretStr(""), description="after a bad one; empty: ping_url with /fail behind it"
    )
    mute: tuple[Kind, ...] = Field(default=(), description="kinds that nobody is told of")
    retry_after_s: float = Field(
        default=2.0,
        ge=0,
        le=60,
        description="wait before the second try; before the third, 4 times",
    )
    late_after_h: float = Field(default=26.0, gt=0, description="a good night is due so often")
    few_new_share: float = Field(
        default=Limits.few_new_share,
        ge=0,
        le=1,
        description="share of the usual number of new videos below which they are few",
    )
    disk_free_gb: float = Field(default=Limits.disk_free_gb, ge=0)
    disk_free_share: float = Field(default=Limits.disk_free_share, ge=0, lt=1)

    @field_validator("ping_url", "ping_fail_url")
    @classmethod
    def _is_web_address(cls, url: SecretStr) -> SecretStr:
        text = url.get_secret_value()
        if text and not text.lower().startswith(("http://", "https://")):
            raise ValueError("must begin with https:// or http://")
        return url

    @property
    def limits(self) -> Limits:
        """The limits that alerts go by."""
        return Limits(
            timedelta(hours=self.late_after_h),
            self.few_new_share,
            self.disk_free_gb,
            self.disk_free_share,
        )


class LogSettings(BaseModel):
    """How the log is written."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: LogFormat = Field(
        default="auto", description="auto: text on a terminal, else a JSON document a line"
    )


class VerdictSettings(BaseModel):
    """What "better" and "worse" ask for beyond an interval."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    least_gain: float = Field(
        default=LEAST_GAIN,
        ge=0,
        lt=1,
        description="share of the worse one's error that a difference has to be",
    )


class Settings(BaseSettings):
    """Everything that can be set. `viewcast config show --origin` prints it with its source."""

    model_config = SettingsConfigDict(
        env_prefix="VIEWCAST_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,  # it may be a password
    )

    data: Path = Path("data")
    db: str = Field(default="", description="database URL; empty: catalog.db in the data folder")
    features_root: str = Field(
        default="", description="store of features, any fsspec URL; empty: in the data folder"
    )
    author_salt: SecretStr = Field(
        SecretStr(""), description="key of the author hash; empty: a file in the data folder"
    )
    device: str = Field(
        default="auto",
        pattern=r"^(auto|cpu|cuda(:[0-9]+)?)$",
        description="where networks compute; auto: on a GPU where torch finds one",
    )
    daemon: DaemonSettings = DaemonSettings()
    nightly: NightlySettings = NightlySettings()
    ages: AgeSettings = AgeSettings()
    alerts: AlertSettings = AlertSettings()
    log: LogSettings = LogSettings()
    verdict: VerdictSettings = VerdictSettings()

    def of(self, section: type[Section]) -> Section:
        """Give the section of that class. An empty device in it is the one of all stages."""
        for name, field in type(self).model_fields.items():
            if field.annotation is section:
                found = getattr(self, name)
                if getattr(found, "device", None) == "":
                    found = replace(found, device=self.device)
                return cast("Section", found)
        raise LookupError(f"{section.__name__} is none of the sections that were handed in")

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


Sections = Mapping[str, type[Any]]


def settings_class(sections: Sections) -> type[Settings]:
    """The settings with those sections: a name and a frozen dataclass of pydantic's each."""
    fields: dict[str, Any] = {
        name: (section, Field(default_factory=section)) for name, section in sections.items()
    }
    return create_model("Settings", __base__=Settings, **fields)


def load_settings(
    file: Path | None, flags: Mapping[str, Any], sections: Sections | None = None
) -> Loaded:
    """Merge the four sources; what stands later in the list wins.

    file: the TOML file; None reads ./viewcast.toml when it exists. Raises BadSettings, which
    names the setting and its source, for an unknown name or a value that is not allowed.
    """
    file = file or (DEFAULT_FILE if DEFAULT_FILE.is_file() else None)
    known = settings_class(sections or {})
    sources = {
        str(file): _read_toml(file) if file else {},
        "environment": _read_environment(known),
        "flag": dict(flags),
    }
    # Named here, so that a section is made of its own defaults by the one validator of all.
    merged: dict[str, Any] = {name: {} for name in sections or {}}
    for tree in sources.values():
        merged = merge(merged, tree)

    def origin(leaf: str) -> str:
        return next((name for name in reversed(sources) if _has(sources[name], leaf)), "default")

    try:
        settings = known.model_validate(merged)
    except ValidationError as error:
        first = error.errors()[0]
        leaf = ".".join(str(part) for part in first["loc"])
        source = origin(leaf)
        raise BadSettings(
            f"setting {leaf} ({source}): {_reason(first, known.model_construct())}", origin=source
        ) from error
    return Loaded(settings, {leaf: origin(leaf) for leaf, _ in leaves(settings.model_dump())})


MOVED = {
    ("nightly", "at"): 'it is daemon.nightly now, a cron expression such as "30 4 * * *"',
    ("nightly", "timezone"): "it is daemon.timezone now",
}


def _reason(error: "ErrorDetails", settings: Settings) -> str:
    """Say what is wrong with a value and what would be right."""
    if error["loc"] in MOVED:
        return MOVED[error["loc"]]
    if error["type"] == "value_error":  # of a whole section, and in words of its own
        return error["msg"].removeprefix("Value error, ")
    if error["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        tree: Any = settings.model_dump()
        for part in error["loc"][:-1]:
            tree = tree[part]
        return f"there is no such setting; there are {', '.join(tree)}"
    if _is_secret(type(settings), error["loc"]):
        return error["msg"]
    return f"{error['msg']}, got {masked_url(repr(error['input']))}"


def _is_secret(of: Any, path: Sequence[int | str]) -> bool:
    """Say whether the setting at a path holds what may be printed nowhere."""
    for part in path:
        fields = getattr(of, "model_fields", {})
        if part not in fields:
            break
        of = fields[part].annotation
    return "SecretStr" in repr(of)


def leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield ("clip.every_frames", 200) and so on, in the order of declaration."""
    for name, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _read_environment(known: type[Settings]) -> dict[str, Any]:
    try:
        return EnvSettingsSource(known)()
    except SettingsError as error:
        # Its words name the field alone. What could not be read may be a secret.
        named = re.search(r'field "(\w+)"', str(error))
        raise BadSettings(
            f"setting {named[1] if named else ''} (environment): lists and tables are written as"
            ' JSON there, such as ["a", "b"]',
            origin="environment",
        ) from error


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
