"""The commands that compute features and tell how far they are: extract, features."""

import copy
import logging
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from catalog.console import App, dry_run_option, emit, emit_outcome, json_option, pass_app, table
from catalog.errors import CatalogError
from features.commands.plans import plan_and_input, plan_of, plans_of_files, store_root
from features.commands.show import features_show

if TYPE_CHECKING:
    from catalog.work.runs import Outcome
    from features.extractor import FeatureSetSpec
    from features.plan import Plan

log = logging.getLogger(__name__)

#: What a screen has room for; --json has the rest.
SHOWN_OF_SETS = (
    "kind",
    "config_hash",
    "extractor_version",
    "n_videos",
    "n_done",
    "n_skipped",
    "n_pending",
    "n_failed",
    "n_dead",
    "n_not_enrolled",
    "state",
    "why",
)

#: Vectors are small and soon made: a shard of as few as of clips would be a file for nothing.
TEXTS_PER_SHARD = 256


@click.group()
def extract() -> None:
    """Compute features for every video that lacks them."""


workers_option = click.option(
    "--workers", type=click.IntRange(min=0), help="Processes; 0: this one."
)
retry_option = click.option(
    "--retry-failed", is_flag=True, help="First open again what failed for good."
)
#: The commands' own lines; loading the kinds themselves would cost `--help` its quickness.
SUMMARIES = {
    "clip": "Sample frames of each media file, small and upright.",
    "opening": "Tell plain numbers of each media file's first seconds and of the whole.",
    "thumbnail": "Make a small WebP of each media file.",
    "audio": "Take Whisper's encoder states and transcript of each media file.",
    "frames": "Embed frames of each media file with a frozen torchvision network.",
    "ocr": "Read the text on screen of each media file at a few moments.",
    "visual": "Embed each clip with the autoencoder of `pretrain`.",
    "text": "Embed each video's caption, its words and the text on its screen.",
}
#: Flags of one kind, each for a setting of it: given, they win over the settings for this call.
OF_AUDIO = (
    click.Option(
        ["--max-seconds", "max_s"],
        type=click.FloatRange(min=0, min_open=True),
        help="Of audio: only so much of the sound; else audio.max_s.",
    ),
    click.Option(
        ["--transcript/--no-transcript"],
        default=None,
        help="Of audio: whether words are read, too; else audio.transcript.",
    ),
    click.Option(
        ["--keep-wav"],
        type=click.Path(file_okay=False, path_type=Path),
        help="Of audio: folder for each video's sound as a .wav; else audio.keep_wav.",
    ),
)


def _extract_command(kind: str, summary: str) -> click.Command:
    @click.command(kind, help=summary)
    @workers_option
    @retry_option
    @json_option
    @dry_run_option
    @pass_app
    def command(
        app: App,
        /,
        workers: int | None,
        retry_failed: bool,
        as_json: bool,
        dry_run: bool,
        **flags: Any,
    ) -> None:
        changes = _changes(kind, flags)
        if dry_run:
            from features import steps

            plan, needs = plan_and_input(app, kind, changes)
            n_videos = steps.count_to_extract(app.catalog, plan, needs)
            emit({"dry_run": True, "kind": kind, "n_videos": n_videos}, as_json=as_json)
            return
        outcome = run_extract(
            app, kind, workers=workers, retry_failed=retry_failed, quiet=as_json, changes=changes
        )
        emit_outcome(outcome, as_json=as_json)

    for flag in OF_AUDIO:
        # The others know them too, hidden, so that they can say whose they are.
        command.params.append(flag if kind == "audio" else _hidden(flag))
    return command


def _hidden(flag: click.Option) -> click.Option:
    twin = copy.copy(flag)
    twin.hidden = True
    return twin


def _changes(kind: str, flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that were given as flags. Raises UsageError for another kind's."""
    given = {name: value for name, value in flags.items() if value is not None}
    if given and kind != "audio":
        names = {flag.name: flag.opts[0] for flag in OF_AUDIO}
        raise click.UsageError(
            f"{', '.join(names[name] for name in given)}: only of `extract audio`, not of {kind}"
        )
    return given


for _kind, _summary in SUMMARIES.items():
    extract.add_command(_extract_command(_kind, _summary))


@extract.command("files")
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    help="Make this kind; may be repeated. Default: the setting extract.kinds.",
)
@workers_option
@retry_option
@json_option
@dry_run_option
@pass_app
def extract_files(
    app: App,
    kinds: tuple[str, ...],
    workers: int | None,
    retry_failed: bool,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Make every kind that is made of media files, each file opened once."""
    if dry_run:
        from features import steps

        plans, left_out = plans_of_files(app, kinds)
        counts = {plan.kind: steps.count_to_extract(app.catalog, plan, None) for plan in plans}
        emit({"dry_run": True, "n_videos": counts, "left_out": left_out}, as_json=as_json)
        return
    outcome, left_out = _extract_files(
        app, kinds, workers=workers, retry_failed=retry_failed, quiet=as_json
    )
    emit_outcome(outcome, as_json=as_json, extra={"left_out": left_out} if left_out else None)


@click.group()
def features() -> None:
    """Feature sets and how far they cover the videos."""


@features.command("list")
@json_option
@pass_app
def features_list(app: App, as_json: bool) -> None:
    """List feature sets with their coverage, and which of them new videos still get."""
    from catalog.read import reports
    from features.steps import states_of

    with app.catalog.read() as session:
        rows = reports.coverage(session)
    states = states_of(app.catalog, rows, _current_specs(app, {row["kind"] for row in rows}))
    rows = [
        {**row, "state": state.name, "why": state.why}
        for row, state in zip(rows, states, strict=True)
    ]
    shown = [{name: row[name] for name in SHOWN_OF_SETS} for row in rows]
    for row in shown:
        row["config_hash"] = row["config_hash"][:12]
    text = table(list(SHOWN_OF_SETS), [list(row.values()) for row in shown])
    emit({"feature_sets": rows}, as_json=as_json, text=text if rows else "no feature set yet")


features.add_command(features_show)


def _current_specs(app: App, kinds: Collection[str]) -> "dict[str, FeatureSetSpec]":
    """The feature sets of the settings, of those kinds that can be named on this machine."""
    from features.errors import FeatureError

    specs = {}
    for kind in kinds:
        # An unknown kind is of a newer program; without an autoencoder there is no `visual`.
        with suppress(KeyError, CatalogError, FeatureError):
            specs[kind] = plan_of(app, kind).spec()
    return specs


def run_extract(
    app: App,
    kind: str,
    *,
    workers: int | None = None,
    retry_failed: bool = False,
    quiet: bool = False,
    parent_id: int | None = None,
    changes: Mapping[str, Any] | None = None,
) -> "Outcome":
    """Extract one kind with the application's settings; what `extract` and `nightly` call.

    changes: settings of the kind that this call has instead.
    """
    plan, needs = plan_and_input(app, kind, changes)
    return _run(
        app,
        [plan],
        f"extract {kind}",
        batch=TEXTS_PER_SHARD if kind == "text" else None,
        needs=needs,
        workers=workers,
        retry_failed=retry_failed,
        quiet=quiet,
        parent_id=parent_id,
    )


def run_extract_files(app: App, *, quiet: bool = False, parent_id: int | None = None) -> "Outcome":
    """Extract the settings' kinds of media files in one pass; what `nightly` calls."""
    return _extract_files(app, (), quiet=quiet, parent_id=parent_id)[0]


def _extract_files(
    app: App,
    kinds: Sequence[str],
    *,
    workers: int | None = None,
    retry_failed: bool = False,
    quiet: bool = False,
    parent_id: int | None = None,
) -> "tuple[Outcome, dict[str, str]]":
    """Extract several kinds in one pass; return also why some of them are left out."""
    plans, left_out = plans_of_files(app, kinds)
    for kind, reason in left_out.items():
        log.info("%s is left out: %s", kind, reason)
    outcome = _run(
        app,
        plans,
        "extract files",
        left_out=left_out,
        workers=workers,
        retry_failed=retry_failed,
        quiet=quiet,
        parent_id=parent_id,
    )
    return outcome, left_out


def _run(
    app: App,
    plans: "Sequence[Plan]",
    title: str,
    *,
    batch: int | None = None,
    workers: int | None,
    retry_failed: bool,
    quiet: bool,
    **options: Any,
) -> "Outcome":
    from catalog.console import progress
    from features import steps
    from features.settings import ExtractConfig

    settings = app.settings_with(extract={"workers": workers}).of(ExtractConfig)
    is_set = workers is not None or app.loaded.origins["extract.workers"] != "default"
    if retry_failed:
        for plan in plans:
            steps.retry(app.catalog, plan)
    with progress(title, quiet=quiet) as bar:
        return steps.extract(
            app.catalog,
            plans,
            data=app.settings.data_folder,
            workers=settings.workers if is_set else _workers(plans, settings.workers),
            batch=batch or settings.batch,
            progress=bar,
            **options,
        )


def _workers(plans: "Sequence[Plan]", workers: int) -> int:
    """One where a GPU computes: each holds a copy of the network there. Raises DeviceMissing."""
    devices = {plan.device for plan in plans} - {"cpu"}
    if not devices:
        return workers  # asked first, so that decoding clips never loads torch
    from features.device import resolve

    there = {resolve(device) for device in devices}
    return workers if there == {"cpu"} else min(workers, 1)


def run_drop_from_shards(app: App, uris: Sequence[str]) -> None:
    """Write shards anew without the rows that the catalog has no more; what `purge` calls."""
    from features.steps import drop_from_shard
    from features.store import FeatureStore

    for uri in uris:
        drop_from_shard(app.catalog, FeatureStore(store_root(app)), uri)
