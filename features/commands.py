"""Commands that compute features: extract, features, weights."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from catalog.console import (
    App,
    dry_run_option,
    emit,
    emit_outcome,
    json_option,
    pass_app,
    table,
)

if TYPE_CHECKING:
    from catalog.facts import FeatureSetFacts
    from catalog.runs import Outcome
    from features.plan import AudioPlan, ClipPlan, Plan, VisualPlan


@click.group()
def extract() -> None:
    """Compute features for every video that lacks them."""


def _extract_command(kind: str, summary: str) -> click.Command:
    @click.command(kind, help=summary)
    @click.option("--workers", type=click.IntRange(min=0), help="Processes; 0: this one.")
    @click.option("--retry-failed", is_flag=True, help="First open again what failed for good.")
    @json_option
    @dry_run_option
    @pass_app
    def command(
        app: App, workers: int | None, retry_failed: bool, as_json: bool, dry_run: bool
    ) -> None:
        if dry_run:
            from features import steps

            plan, needs = _plan(app, kind)
            n_videos = steps.count_to_extract(app.catalog, plan, needs)
            emit({"dry_run": True, "kind": kind, "n_videos": n_videos}, as_json=as_json)
            return
        outcome = run_extract(
            app, kind, workers=workers, retry_failed=retry_failed, quiet=as_json
        )
        emit_outcome(outcome, as_json=as_json)

    return command


extract.add_command(_extract_command("clip", "Sample frames of each media file (every Nth)."))
extract.add_command(
    _extract_command("visual", "Embed each clip with the autoencoder of `pretrain`.")
)
extract.add_command(
    _extract_command("audio", "Take Whisper's encoder states and transcript of each media file.")
)


@click.group()
def features() -> None:
    """Feature sets and how far they cover the videos."""


@features.command("list")
@json_option
@pass_app
def features_list(app: App, as_json: bool) -> None:
    """List feature sets with their coverage."""
    from catalog import reports

    with app.catalog.read() as session:
        rows = reports.coverage(session)
    text = table(reports.columns_of(rows), [list(row.values()) for row in rows])
    emit({"feature_sets": rows}, as_json=as_json, text=text if rows else "no feature set yet")


@click.group()
def weights() -> None:
    """Whisper's weights: where they were found, and whether they are the right ones."""


@weights.command("verify")
@json_option
@pass_app
def weights_verify(app: App, as_json: bool) -> None:
    """Load the weights that `extract audio` would use and print their fingerprint."""
    from features.whisper_weights import WeightsSources, find_weights, fingerprint, load_whisper

    settings = app.settings.audio
    sources = WeightsSources(path=settings.weights)
    found = find_weights(settings.model, sources)
    payload = {
        "model": settings.model,
        "files": [str(file) for file in found.files],
        "fingerprint": fingerprint(load_whisper(settings.model, sources)),
    }
    emit(payload, as_json=as_json)


@weights.command("fetch")
@json_option
@dry_run_option
@pass_app
def weights_fetch(app: App, as_json: bool, dry_run: bool) -> None:
    """Let Whisper download its own weights into its own cache; needs the internet."""
    from features.whisper_weights import WeightsSources, fingerprint, load_whisper

    model = app.settings.audio.model
    sources = WeightsSources(download=True)
    payload: dict[str, Any] = {"model": model, "cache": str(sources.cache), "dry_run": dry_run}
    if not dry_run:
        payload["fingerprint"] = fingerprint(load_whisper(model, sources))
    emit(payload, as_json=as_json)


COMMANDS: list[click.Command] = [extract, features, weights]


def run_extract(
    app: App,
    kind: str,
    *,
    workers: int | None = None,
    retry_failed: bool = False,
    quiet: bool = False,
    parent_id: int | None = None,
) -> "Outcome":
    """Extract with the application's settings; what `extract`, `nightly` and `demo` call."""
    from catalog.progress import progress
    from features import steps

    plan, needs = _plan(app, kind)
    settings = app.settings.extract
    if retry_failed:
        steps.retry(app.catalog, plan)
    with progress(f"extract {kind}", quiet=quiet) as bar:
        return steps.extract(
            app.catalog,
            plan,
            data=app.settings.data_folder,
            needs=needs,
            workers=settings.workers if workers is None else workers,
            batch=settings.batch,
            progress=bar,
            parent_id=parent_id,
        )


def run_drop_from_shards(app: App, uris: Sequence[str]) -> None:
    """Write shards anew without the rows that the catalog has no more; what `purge` calls."""
    from features.steps import drop_from_shard
    from features.store import FeatureStore

    for uri in uris:
        drop_from_shard(app.catalog, FeatureStore(store_root(app)), uri)


def plan_of(app: App, kind: str) -> "Plan":
    """The plan of one kind by the application's settings."""
    plans: dict[str, Callable[[App], Plan]] = {
        "clip": clip_plan,
        "visual": visual_plan,
        "audio": audio_plan,
    }
    return plans[kind](app)


def clip_plan(app: App) -> "ClipPlan":
    """The clip feature set of the application's settings."""
    from features.clip import ClipConfig
    from features.plan import ClipPlan

    return ClipPlan(ClipConfig(**app.settings.clip.model_dump()), store_root(app))


def audio_plan(app: App) -> "AudioPlan":
    """The audio feature set of the application's settings."""
    from features.audio import AudioConfig
    from features.plan import AudioPlan

    settings = app.settings.audio
    config = AudioConfig(settings.model, settings.max_s, settings.transcript)
    return AudioPlan(config, store_root(app), settings.weights)


def visual_plan(app: App) -> "VisualPlan":
    """The embeddings of this setting's clips by the newest autoencoder trained on such clips.

    Raises NotFound, which says to run `pretrain`, where there is none.
    """
    from features import steps
    from features.plan import VisualPlan

    clip_set = clip_plan(app).spec().hash
    weights = steps.find_autoencoder(app.catalog, clip_set)
    path = app.settings.data_folder / weights.artifact_uri
    return VisualPlan(clip_set, path, weights.sha256, store_root(app))


def store_root(app: App) -> str:
    """Root of the feature store."""
    return app.settings.features_root or str(app.settings.data_folder / "features")


def _plan(app: App, kind: str) -> "tuple[Plan, FeatureSetFacts | None]":
    """The plan of a kind, and the feature set that it is made from."""
    from features import steps

    needs = steps.find_set(app.catalog, clip_plan(app)) if kind == "visual" else None
    return plan_of(app, kind), needs
