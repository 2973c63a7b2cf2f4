"""What `evaluate` does on each collection once it is imported, and how the result is given."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from catalog.ages import read_label
from catalog.console import CATALOG_FILE, App, emit, progress, table

if TYPE_CHECKING:
    from catalog.facts import ModelFacts, SplitFacts
    from catalog.work.runs import Outcome
    from model.experiment.collections import Wanted
    from model.experiment.columns import Column

log = logging.getLogger(__name__)

FOLDER: Final = "evaluate"  # in the data folder: a catalog for each collection
EXIT_PARTIAL: Final = 4
#: Imports what is at a path into the application's catalog, with the settings of the collection.
Take = Callable[[App, Path, Any], "Outcome"]


def run_evaluation(
    app: App,
    imports: type[Any],
    take: Take,
    known_errors: tuple[type[Exception], ...],
    *,
    file: Path | None,
    is_list: bool,
    only: Sequence[str],
    catalogs: Path | None,
    output: Path | None,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Do what `evaluate` was asked for, and leave with its exit code.

    imports: the class of a collection's `[import]`, which `take` understands. known_errors: those
    that cost a collection, or a model, and not the rest.
    """
    if is_list:
        _list(None if file is None else str(file), as_json=as_json)
        return
    if file is None:
        raise click.UsageError("name a FILE, or say --list")
    _check_output(output)
    found = _read(file, imports, only)
    catalogs = (catalogs or app.settings.data_folder / FOLDER).resolve()
    if dry_run:
        _emit_plan(found, catalogs, as_json=as_json)
        return
    columns = _evaluated(app, found, catalogs, take, (*known_errors, OSError), quiet=as_json)
    _emit_columns(columns, output, catalogs, as_json=as_json)


def _list(name: str | None, *, as_json: bool) -> None:
    from model.experiment.collections import describe, descriptors

    found = descriptors()
    if name is not None and name not in found:
        raise click.UsageError(f"there is no descriptor {name!r}; there are {', '.join(found)}")
    chosen = found if name is None else {name: found[name]}
    payload = {one: told.model_dump(mode="json", by_alias=True) for one, told in chosen.items()}
    if name is not None:
        text = describe(name, found[name])
    else:
        rows = [[one, told.title, told.n_videos, told.licence] for one, told in found.items()]
        text = table(["descriptor", "what", "videos", "licence"], rows)
        text += "\nThe whole of one, with what to write: viewcast evaluate --list NAME"
    emit({"descriptors": payload}, as_json=as_json, text=text)


def _read(file: Path, imports: type[Any], only: Sequence[str]) -> "tuple[Wanted, ...]":
    from model.errors import BadSetting
    from model.experiment.collections import read_evaluation
    from model.registry import PRESETS

    found = read_evaluation(file, imports=imports, presets=list(PRESETS), only=only)
    for wanted in found:
        _label(wanted)  # before any other collection is worked on
        if wanted.as_of is not None and not any(map(_knows_as_of, wanted.trained)):
            raise BadSetting(
                f"{file}: {wanted.name}: as_of: none of {', '.join(wanted.trained)} has such a "
                "setting; leave it out"
            )
    return found


def _label(wanted: "Wanted") -> str:
    """Which count is the label: the latest, or the first of at least an age. Raises UsageError."""
    if wanted.label_age is None:
        return "latest"
    try:
        return str(read_label(f"from:{wanted.label_age}"))
    except ValueError as error:
        raise click.UsageError(f"{wanted.name}: label_age: {error}") from error


def _emit_plan(found: "Sequence[Wanted]", catalogs: Path, *, as_json: bool) -> None:
    """Say what would be done, collection by collection."""
    plan = [
        {
            "collection": wanted.name,
            "path": str(wanted.path),
            "is_there": wanted.path.exists(),
            "splits": list(wanted.splits),
            "models": list(wanted.trained),
            "label_age": wanted.label_age,
            "as_of": wanted.as_of,
        }
        for wanted in found
    ]
    columns = ["collection", "file", "there", "splits", "models"]
    rows = [
        [
            wanted.name,
            wanted.path,
            "yes" if wanted.path.exists() else "no",
            ", ".join(wanted.splits),
            ", ".join(wanted.trained),
        ]
        for wanted in found
    ]
    text = table(columns, rows)
    payload = {"dry_run": True, "catalogs": str(catalogs), "collections": plan}
    emit(payload, as_json=as_json, text=f"{text}\nTheir catalogs: {catalogs}")


def _evaluated(
    app: App,
    found: "Sequence[Wanted]",
    catalogs: Path,
    take: Take,
    known_errors: tuple[type[Exception], ...],
    *,
    quiet: bool,
) -> "list[Column]":
    """Do what is left to do for each collection; one that cannot be read costs itself."""
    from model.experiment.columns import Column

    columns: list[Column] = []
    for wanted in found:
        try:
            columns += _columns(app, wanted, catalogs, take, known_errors, quiet=quiet)
        except known_errors as error:
            log.info("%s failed", wanted.name, exc_info=True)
            columns += [
                Column(wanted.name, split, wanted.as_of, error=_said(error))
                for split in wanted.splits
            ]
    return columns


def _emit_columns(
    columns: "Sequence[Column]", output: Path | None, catalogs: Path, *, as_json: bool
) -> None:
    """Print the one table, write it where asked, and leave with 4 where a part of it failed."""
    from catalog.files import atomic_file
    from model.experiment.columns import NOTE, failures, table_of

    failed = failures(columns)
    if output is not None:
        with atomic_file(output) as temporary:
            temporary.write_text(FORMS[output.suffix.lower()](columns), encoding="utf-8")
    for line in failed:
        click.echo(f"viewcast: {line}", err=True)
    payload = {
        "columns": [column.as_json() for column in columns],
        "failed": failed,
        "catalogs": str(catalogs),
        "output": None if output is None else str(output),
    }
    heads, rows = table_of(columns)
    text = f"{table(heads, rows)}\n{NOTE}." if rows else "No model was compared."
    emit(payload, as_json=as_json, text=text)
    if failed:
        is_nothing = all(column.error is not None for column in columns)
        raise click.exceptions.Exit(1 if is_nothing else EXIT_PARTIAL)


def _page(columns: "Sequence[Column]") -> str:
    from catalog.web.pages import render
    from model.experiment.columns import NOTE, failures, table_of

    heads, rows = table_of(columns)
    return render(
        "evaluation.html",
        title="Models on several collections",
        heads=heads,
        rows=rows,
        note=NOTE,
        failures=failures(columns),
    )


def _csv(columns: "Sequence[Column]") -> str:
    from model.experiment.columns import csv_text

    return csv_text(columns)


def _markdown(columns: "Sequence[Column]") -> str:
    from model.experiment.columns import markdown_text

    return markdown_text(columns)


FORMS: Final[Mapping[str, "Callable[[Sequence[Column]], str]"]] = {
    ".csv": _csv,
    ".html": _page,
    ".md": _markdown,
}


def _check_output(output: Path | None) -> None:
    """Raise UsageError for a file that cannot be written, before hours of training."""
    if output is None:
        return
    if output.suffix.lower() not in FORMS:
        raise click.UsageError(
            f"--output {output}: expected a name that ends in {', '.join(FORMS)}"
        )
    if not output.parent.is_dir():
        raise click.UsageError(f"--output {output}: there is no folder {output.parent}")


def _columns(
    app: App,
    wanted: "Wanted",
    catalogs: Path,
    take: Take,
    known_errors: tuple[type[Exception], ...],
    *,
    quiet: bool,
) -> "list[Column]":
    from catalog.files import locked, sha256_text
    from catalog.schema.session import upgrade
    from catalog.schema.types import canonical_json
    from catalog.settings import merge
    from model.experiment.columns import Column

    how = wanted.model_dump(mode="json")["imports"]
    inputs = sha256_text(canonical_json({"sha256": _sha256_of(wanted.path), "import": how}))
    # Named after what it is made of: another file, or another mapping, has a catalog of its own.
    folder = catalogs / f"{wanted.name}-{inputs[:12]}"
    flags = {
        "data": folder,
        "db": f"sqlite:///{folder / CATALOG_FILE}",
        "features_root": "",
        # Who is held out hangs on it: the same file is divided alike everywhere. Whoever could
        # guess it has the file, which names the authors.
        "author_salt": sha256_text(f"authors of {inputs}"),
    }
    own = replace(app, flags=merge(app.flags, flags))
    columns = []
    with locked(folder / "evaluate.lock", f"{wanted.name} is evaluated"):
        upgrade(own.settings.db_url)
        try:
            _import_once(own, wanted, take, quiet=quiet)
            for strategy in wanted.splits:
                try:
                    columns.append(_column(own, wanted, strategy, known_errors, quiet=quiet))
                except known_errors as error:
                    failed = Column(wanted.name, strategy, wanted.as_of, error=_said(error))
                    columns.append(failed)
        finally:
            own.catalog.close()
    return columns


def _import_once(app: App, wanted: "Wanted", take: Take, *, quiet: bool) -> None:
    """Import, unless an import of just this has come to its end here."""
    from catalog.read.reports import runs
    from model.errors import NothingToTrain

    with app.catalog.read() as session:
        before = runs(session, kind="import", limit=1)
    if before and before[0]["status"] in ("ok", "partial"):
        return
    outcome = take(app, wanted.path, wanted.imports)
    if not outcome.n_done:
        codes = ", ".join(f"{code} {n}" for code, n in sorted(outcome.codes.items()))
        raise NothingToTrain(
            f"{wanted.path} gave no video ({codes}): `viewcast import --dry-run` with the same "
            "settings shows the rows"
        )
    if not quiet:
        refused = f", {outcome.n_failed:,} refused" if outcome.n_failed else ""
        click.echo(f"{wanted.name}: {outcome.n_done:,} rows imported{refused}", err=True)


def _column(
    app: App,
    wanted: "Wanted",
    strategy: str,
    known_errors: tuple[type[Exception], ...],
    *,
    quiet: bool,
) -> "Column":
    from catalog.facts import posted_at_of
    from catalog.read.lookup import final_metrics, split_members
    from model.errors import NothingToTrain
    from model.experiment.columns import Cell, Column, cells_of
    from model.split import SplitConfig
    from model.steps.compare import compare
    from model.steps.split import create_split

    config = SplitConfig(strategy, wanted.val, wanted.holdout, wanted.seed, _label(wanted))  # type: ignore[arg-type]
    _outcome, split = create_split(app.catalog, config)
    for part in ("train", "holdout"):
        if not split.n_by_part.get(part):
            raise NothingToTrain(f"a split by {strategy} leaves nobody to {part}: leave it out")
    if strategy == "time":
        with app.catalog.read() as session:
            if not any(posted_at_of(one.video) for one in split_members(session, split.id)):
                raise NothingToTrain(
                    "nobody knows when any of the videos was posted, so a split by time is one by "
                    "their order in the file: leave it out"
                )
    trained: dict[str, ModelFacts] = {}
    failed: dict[str, Cell] = {}
    for preset in wanted.trained:
        try:
            trained[preset] = _trained(app, wanted, preset, strategy, split, quiet=quiet)
        except known_errors as error:
            log.info("%s failed", preset, exc_info=True)
            failed[preset] = Cell(preset, error=_said(error))
    if len(trained) < 2:
        why = "fewer than two models were trained, so there is nothing to compare"
        return Column(wanted.name, strategy, wanted.as_of, cells=failed, error=why)
    found = compare(
        app.catalog,
        list(trained.values()),
        part="holdout",
        least_gain=app.settings.verdict.least_gain,
    )
    names = dict(zip(found.names, trained, strict=True))
    cells, rival = cells_of(found.comparison, names, wanted.against)
    with app.catalog.read() as session:
        for preset, model in trained.items():
            cpu_s = final_metrics(session, model.train_run_id, "train").get("cpu_s")
            cells[preset] = replace(cells[preset], version=model.version, cpu_s=cpu_s)
    return Column(
        wanted.name,
        strategy,
        wanted.as_of,
        n=found.comparison.n,
        n_train=split.n_by_part.get("train"),
        rival=rival,
        cells={preset: (cells | failed)[preset] for preset in wanted.trained},
    )


def _trained(
    app: App, wanted: "Wanted", preset: str, strategy: str, split: "SplitFacts", *, quiet: bool
) -> "ModelFacts":
    """Train a preset and predict what is held out, as far as that is not done."""
    from model.commands.choices import feature_set_of, store_of
    from model.commands.training import request_of
    from model.settings import JudgeSettings, ScoreConfig
    from model.solved.judge import judging
    from model.steps.score import score
    from model.steps.train import train

    request = request_of(
        app,
        preset,
        seed=wanted.seed,
        # Said in any case: the setting train.as_of is not of the file that is asked about.
        network={"as_of": wanted.as_of or "post"} if _knows_as_of(preset) else {},
        name=f"{preset}-{strategy}",
        split=split.name,
    )
    place: dict[str, Any] = {"store": store_of(app), "data": app.settings.data_folder}
    what = f"{wanted.name} {strategy}: {preset}"
    with progress(what, quiet=quiet) as bar, judging(app.settings.of(JudgeSettings)):
        outcome, model = train(
            app.catalog,
            request,
            lambda kind: feature_set_of(app, kind),
            progress=bar,
            **place,
        )
        score(
            app.catalog,
            model,
            device=app.settings.of(ScoreConfig).device,
            parts=["holdout"],
            progress=bar,
            **place,
        )
    if not quiet:
        click.echo(f"{what} {'trained' if outcome.n_done else 'was there'}", err=True)
    return model


def _knows_as_of(preset: str) -> bool:
    from model.registry import find_preset

    return hasattr(find_preset(preset).network, "as_of")


def _sha256_of(path: Path) -> str:
    """Name the content of a file, or of all that is in a folder."""
    from catalog.files import sha256_of, sha256_text

    if not path.is_dir():
        return sha256_of(path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return sha256_text("\n".join(f"{file.relative_to(path)} {sha256_of(file)}" for file in files))


def _said(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.strerror}: {error.filename}"
    return str(error)
