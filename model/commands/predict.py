"""The command that forecasts files: predict."""

import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from catalog.console import App, dry_run_option, emit, json_option, pass_app
from model.commands.choices import find_model_named

if TYPE_CHECKING:
    from catalog.facts import ModelFacts
    from features.one_video import Aside
    from model.steps.predict import Predicted

ASIDE = "audio"  # Whisper: what takes longest to load, and longest to work


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE…")
@click.option("--model", "model_name", help="NAME, NAME:VERSION or NAME@ALIAS.")
@click.option("--caption", default="", help="Of the post; its #words are hashtags.")
@click.option("--hashtags", default="", metavar="A,B", help="More hashtags, with or without #.")
@click.option("--posted-at", metavar="ISO", help="When it will be posted; UTC unless it says.")
@click.option("--similar/--no-similar", default=True, help="Show the most similar known videos.")
@click.option("--record", is_flag=True, help="Keep the forecasts in the catalog, as a run.")
@json_option
@dry_run_option
@pass_app
def predict(
    app: App,
    files: tuple[Path, ...],
    model_name: str | None,
    caption: str,
    hashtags: str,
    posted_at: str | None,
    similar: bool,
    record: bool,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Forecast the views of video files that are in no catalog; stores nothing by itself.

    What is said of the post holds for all FILEs. One that cannot be read costs itself.
    """
    start = time.perf_counter()
    asked = {
        "files": files,
        "caption": caption,
        "hashtags": tuple(hashtags.replace(",", " ").split()),
        "posted_at": None if posted_at is None else _moment(posted_at),
        "similar": similar,
        "record": record,
    }
    model = find_model_named(app, model_name)
    if dry_run:
        named = {"model": model.name, "version": model.version}
        listed = [str(path) for path in files]
        emit({"dry_run": True, **named, "files": listed, "record": record}, as_json=as_json)
        return
    predicted = _predicted(app, model, asked, quiet=as_json)
    _show(predicted, time.perf_counter() - start, as_json=as_json)
    if predicted.exit_code:
        raise click.exceptions.Exit(predicted.exit_code)


def _predicted(app: App, model: "ModelFacts", asked: dict[str, Any], *, quiet: bool) -> "Predicted":
    with ExitStack() as stack:
        # Before anything here imports torch, which takes seconds: the other process does it too.
        asides = {aside.kind: stack.enter_context(aside) for aside in _asides(app, model)}
        from catalog.console import progress
        from features.commands import plan_of
        from features.settings import VisualConfig
        from model.settings import ScoreConfig
        from model.steps.predict import PredictRequest
        from model.steps.predict import predict as predict_step

        bar = stack.enter_context(progress("predict", quiet=quiet or len(asked["files"]) == 1))
        return predict_step(
            app.catalog,
            model,
            PredictRequest(**asked),
            lambda kind: plan_of(app, kind),
            data=app.settings.data_folder,
            progress=bar,
            device=app.settings.of(ScoreConfig).device,
            visual_device=app.settings.of(VisualConfig).device,
            asides=asides,
        )


def _asides(app: App, model: "ModelFacts") -> "list[Aside]":
    from catalog.read.lookup import model_feature_sets

    with app.catalog.read() as session:
        sets = model_feature_sets(session, model.id)
    if ASIDE not in sets:
        return []
    from features.one_video import Aside

    return [Aside(ASIDE)]


def _show(predicted: "Predicted", total_s: float, *, as_json: bool) -> None:
    from model.forecast.card import (
        ForecastCard,
        card_document,
        card_text,
        refused_document,
        refused_text,
    )

    cards = [
        (card_document(one), card_text(one))
        if isinstance(one, ForecastCard)
        else (refused_document(one), refused_text(one))
        for one in predicted.results
    ]
    loading = ", ".join(f"{what} {s:.2f}" for what, s in predicted.load_s.items())
    payload: dict[str, Any] = {
        "files": [document for document, _text in cards],
        "n_files": len(cards),
        "n_failed": predicted.n_failed,
        "load_seconds": dict(predicted.load_s),
        "total_seconds": total_s,
        "run_id": None if predicted.outcome is None else predicted.outcome.run_id,
    }
    lines = [text for _document, text in cards]
    lines.append(f"loading: {loading} s; {total_s:.2f} s in all")
    if predicted.outcome is not None:
        lines.append(f"recorded as run {predicted.outcome.run_id}")
    emit(payload, as_json=as_json, text="\n\n".join(lines))


def _moment(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text.strip())
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise click.BadParameter(
            f"{text!r} is no time: write 2026-11-23T18:30 or 2026-11-23T18:30+02:00",
            param_hint="--posted-at",
        ) from error
