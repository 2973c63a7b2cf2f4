"""What `evaluate` is asked: the collections of a TOML file, and descriptors of public ones."""

import re
import tomllib
from collections.abc import Collection as SomeOf
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic_core import ErrorDetails

from catalog.facts import AsOf
from model.errors import BadSetting
from model.split import Strategy

STRICT: Final = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,59}$"
DURATION: Final = r"^[0-9]{1,6}(\.[0-9]+)?[smhdw]$"
#: Trained where a file names none: what forecasts, and what any forecast has to beat.
MODELS: Final = ("modern", "boosted", "ridge")
RIVALS: Final = (
    "author_recent",
    "author_mean",
    "hashtag_mean",
    "geometric_mean",
    "median",
    "mean",
)


class Asked(BaseModel):
    """How collections are divided and what is trained on them; may stand above all or with one.

    against: the rivals, trained too; the best of them in log-MAE is what the others are compared
    with. label_age: of a label at least, such as 7d. as_of: of what is known of accounts and
    sounds; for the models that have such a setting.
    """

    model_config = STRICT

    splits: tuple[Strategy, ...] = Field(default=("time", "author"), min_length=1)
    val: float = Field(default=0.1, ge=0, lt=1)
    holdout: float = Field(default=0.2, gt=0, lt=1)
    seed: int = Field(default=0, ge=0, lt=2**32)
    models: tuple[str, ...] = MODELS
    against: tuple[str, ...] = RIVALS
    label_age: str | None = Field(default=None, pattern=DURATION)
    as_of: AsOf | None = None


class Wanted(Asked):
    """One collection. imports: how it is read, as the class says that was handed in."""

    name: str = Field(pattern=NAME)
    path: Path
    descriptor: str | None = None
    imports: Any = None

    @property
    def trained(self) -> tuple[str, ...]:
        """Every preset once, the rivals last: a paired difference is then of a model from one."""
        return tuple(
            dict.fromkeys((*(m for m in self.models if m not in self.against), *self.against))
        )


class Descriptor(BaseModel):
    """A public collection: where it is, what is in it, and how it is imported. No data.

    to_check: what nobody here has seen with their own eyes.
    """

    model_config = STRICT

    title: str
    project: str
    described_at: tuple[str, ...]
    licence: str
    n_videos: int | None = None
    file: str
    has: tuple[str, ...]
    lacks: tuple[str, ...] = ()
    quirks: tuple[str, ...] = ()
    to_check: tuple[str, ...] = ()
    imports: dict[str, Any] = Field(default_factory=dict, alias="import")


def read_evaluation(
    file: Path, *, imports: type[Any], presets: SomeOf[str], only: Iterable[str] = ()
) -> tuple[Wanted, ...]:
    """Read the collections that a file names, those of `only` if it has any.

    imports: the class of `[collection.import]`. presets: what can be trained. A path is of the
    file's own folder. What stands above the collections is each one's unless it says otherwise, and
    so is what its descriptor says of the import. Raises BadSetting, which names the line, the key
    and what would have been right.
    """
    try:
        text = file.read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except FileNotFoundError as error:
        raise BadSetting(f"{file} does not exist") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSetting(f"{file} is not TOML: {error}") from error
    shared = {name: value for name, value in document.items() if name in Asked.model_fields}
    place = _Places(file, text)
    if unknown := sorted(document.keys() - {*shared, "collection"}):
        known = ", ".join((*Asked.model_fields, "[[collection]]"))
        raise place.wrong((unknown[0],), f"there is no such key; there are {known}")
    given = document.get("collection")
    if not isinstance(given, list) or not given or not all(isinstance(o, dict) for o in given):
        raise BadSetting(f"{file} names no collection: begin each one with [[collection]]")
    kind: type[Wanted] = create_model(
        "Wanted", __base__=Wanted, imports=(imports, Field(default_factory=imports, alias="import"))
    )
    found = [
        _collection(one, n, kind, shared, place, presets, file.parent)
        for n, one in enumerate(given)
    ]
    names = [one.name for one in found]
    for n, name in enumerate(names):
        if name in names[:n]:
            raise place.wrong(("collection", n, "name"), f"{name!r} names two collections")
    wanted = set(only)
    if unknown := sorted(wanted - set(names)):
        raise BadSetting(f"{unknown[0]!r} is no collection of {file}; there are {', '.join(names)}")
    return tuple(one for one in found if not wanted or one.name in wanted)


def _collection(
    given: Mapping[str, Any],
    n: int,
    kind: type[Wanted],
    shared: Mapping[str, Any],
    place: "_Places",
    presets: SomeOf[str],
    folder: Path,
) -> Wanted:
    at = ("collection", n)
    merged = {**shared, **given}
    described = given.get("descriptor")
    if isinstance(described, str):
        known = descriptors()
        if described not in known:
            said = f"there is no descriptor {described!r}; there are {', '.join(known)}"
            raise place.wrong((*at, "descriptor"), said)
        own = given.get("import", {})
        if isinstance(own, dict):
            merged["import"] = {**known[described].imports, **own}
    # A preset that this program does not have is not among the defaults.
    for key, names in (("models", MODELS), ("against", RIVALS)):
        merged.setdefault(key, [name for name in names if name in presets])
    try:
        found = kind.model_validate(merged)
    except ValidationError as error:
        first = error.errors()[0]
        raise place.wrong((*at, *first["loc"]), _reason(first, kind)) from error
    if "\0" in str(found.path):
        raise place.wrong((*at, "path"), "there is a zero byte in it, which no path has")
    for key in ("models", "against"):
        for name in getattr(found, key):
            if name not in presets:
                said = f"{name!r} is no preset; there are {', '.join(presets)}"
                raise place.wrong((*at, key), said)
    if len(found.trained) < 2:
        raise place.wrong((*at, "models"), "one alone is compared with nothing: name a rival")
    if found.val + found.holdout >= 1:
        raise place.wrong((*at, "holdout"), "val and holdout leave nothing to train on")
    return found.model_copy(update={"path": folder / found.path.expanduser()})


def _reason(error: ErrorDetails, kind: type[Wanted]) -> str:
    """Say what is wrong with a value, and what would be right."""
    if error["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        inside = error["loc"][0] == "import" and len(error["loc"]) > 1
        imports = kind.model_fields["imports"].annotation
        if inside and is_dataclass(imports):
            names = [one.name for one in fields(imports)]
        else:
            names = [one.alias or name for name, one in kind.model_fields.items()]
        return f"there is no such key; there are {', '.join(names)}"
    if error["type"] == "missing":
        return "is missing"
    words = error["msg"].removeprefix("Value error, ")
    return f"{words[0].lower()}{words[1:]}, got {error['input']!r}"


class _Places:
    """The lines of a TOML file's keys, which its reader does not tell."""

    HEADER: Final = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]")
    KEY: Final = re.compile(r"\s*([\w\"'.-]+)\s*=")

    def __init__(self, file: Path, text: str) -> None:
        self._file = file
        self._lines: dict[tuple[str | int, ...], int] = {}
        table: tuple[str | int, ...] = ()
        n = -1
        for number, line in enumerate(text.splitlines(), 1):
            if header := self.HEADER.match(line):
                first, *rest = self._parts(header[2])
                n += header[1] == "[[" and not rest
                table = (first, n, *rest) if first == "collection" else (first, *rest)
                self._lines.setdefault(table, number)
            elif key := self.KEY.match(line):
                self._lines.setdefault((*table, *self._parts(key[1])), number)

    @staticmethod
    def _parts(name: str) -> list[str]:
        return [part.strip("\"' ") for part in name.split(".")]

    def wrong(self, key: tuple[str | int, ...], reason: str) -> BadSetting:
        """Name a key with its line; what no collection has of its own stands above all of them."""
        ends = range(len(key), 0, -1)
        own = [self._lines[key[:end]] for end in ends if key[:end] in self._lines]
        above = self._lines.get(key[2:3]) if key not in self._lines else None
        line = above or next(iter(own), None)
        where = str(self._file) if line is None else f"{self._file}, line {line}"
        name = ".".join(part for part in key if isinstance(part, str))
        return BadSetting(f"{where}: {name}: {reason}")


def descriptors() -> dict[str, Descriptor]:
    """The public collections that this program can tell of, by name."""
    folder = resources.files("model.experiment") / "public"
    return {
        entry.name.removesuffix(".toml"): Descriptor.model_validate(
            tomllib.loads(entry.read_text(encoding="utf-8"))
        )
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name)
        if entry.name.endswith(".toml")
    }


def describe(name: str, one: Descriptor) -> str:
    """Lay a descriptor out for a person, with the lines that take it into a file of one's own."""
    parts = [f"{name}: {one.title}", f"  by: {one.project}", f"  licence: {one.licence}"]
    parts += [f"  see: {link}" for link in one.described_at]
    parts += [f"  videos: {one.n_videos:,}"] if one.n_videos else []
    parts += [f"  file: {one.file}"]
    for what in ("has", "lacks", "quirks", "to_check"):
        parts += [f"  {what.replace('_', ' ')}: {line}" for line in getattr(one, what)]
    for key, value in one.imports.items():
        parts.append(f"  import.{key}: {value}")
    parts += ["", "[[collection]]", f'name = "{name}"', f'descriptor = "{name}"']
    return "\n".join([*parts, 'path = "where you have put it"'])
