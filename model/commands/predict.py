"""The command that forecasts files: predict."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from catalog.console import App, dry_run_option, emit, json_option, pass_app
from catalog.errors import name_text
from model.commands.choices import find_model_named

if TYPE_CHECKING:
    from catalog.facts import ModelFacts
    from features.one_video import Aside
    from model.forecast.card import ForecastCard, Refused
    from model.forecast.given_files import Given
    from model.steps.predict import Predicted

    Result = ForecastCard | Refused

N_NAMED = 5
ASIDE = "audio"  # Whisper: what takes longest to load, and longest to work


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(), metavar="FILE…")
@click.option("-r", "--recursive", is_flag=True, help="Of a folder also what lies deeper.")
@click.option("--model", "model_name", help="NAME, NAME:VERSION or NAME@ALIAS.")
@click.option("--caption", default="", help="Of the post; its #words are hashtags.")
@click.option("--hashtags", default="", metavar="A,B", help="More hashtags, with or without #.")
@click.option("--posted-at", metavar="ISO", help="When it will be posted; UTC unless it says.")
@click.option("--author", metavar="NAME", help="Whose post: @name, or the key in the catalog.")
@click.option("--sound", metavar="ID", help="The sound of the post, by its id on the site.")
@click.option("--what-if", is_flag=True, help="Also with other hours, and without each hashtag.")
@click.option("--try-hashtag", multiple=True, metavar="TAG", help="Also with it; repeatable.")
@click.option("--try-caption", metavar="TEXT", help="Also with this caption.")
@click.option("--similar/--no-similar", default=True, help="Show the most similar known videos.")
@click.option("--record", is_flag=True, help="Keep the forecasts in the catalog, as a run.")
@json_option
@dry_run_option
@pass_app
def predict(
    app: App,
    files: tuple[str, ...],
    recursive: bool,
    model_name: str | None,
    caption: str,
    hashtags: str,
    posted_at: str | None,
    author: str | None,
    sound: str | None,
    what_if: bool,
    try_hashtag: tuple[str, ...],
    try_caption: str | None,
    similar: bool,
    record: bool,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Forecast the views of video files that are in no catalog; stores nothing by itself.

    FILE is a file, a folder (the videos in it), or a quoted pattern such as 'clips/*.mp4'. What is
    said of the post holds for all of them. One that cannot be read costs itself; one that is cut
    off, damaged or longer than the settings look at has its forecast, with a warning, and exit 4.
    """
    from model.forecast.given_files import find_files

    start = time.perf_counter()
    given = find_files(files, is_recursive=recursive)
    asked = {
        "files": given.files,
        "caption": caption,
        "hashtags": tuple(hashtags.replace(",", " ").split()),
        "posted_at": None if posted_at is None else _moment(posted_at),
        "sound": None if sound is None else sound.strip(),
        "what_if": what_if or bool(try_hashtag) or try_caption is not None,
        "try_hashtags": try_hashtag,
        "try_caption": try_caption,
        "similar": similar,
        "record": record,
    }
    model = find_model_named(app, model_name)
    if dry_run:
        named = {"model": model.name, "version": model.version}
        _show_given(given, {"dry_run": True, **named, "record": record}, as_json=as_json)
        return
    shown = _Shown(given, as_json=as_json)
    try:
        predicted = _predicted(app, model, asked, author, shown.add)
        shown.sum_up(predicted, time.perf_counter() - start)
    except BaseException:
        shown.break_off()
        raise
    if predicted.exit_code:
        raise click.exceptions.Exit(predicted.exit_code)


def _predicted(
    app: App,
    model: "ModelFacts",
    asked: dict[str, Any],
    author: str | None,
    on_result: "Callable[[Result], None]",
) -> "Predicted":
    with ExitStack() as stack:
        # Before anything here imports torch, which takes seconds: the other process does it too.
        asides = {aside.kind: stack.enter_context(aside) for aside in _asides(app, model)}
        from features.commands import plan_of
        from features.settings import VisualConfig
        from model.forecast.request import Named, PredictRequest
        from model.settings import ScoreConfig
        from model.steps.predict import predict as predict_step

        if author is not None:
            asked["author"] = Named(*app.author_named(author))
        return predict_step(
            app.catalog,
            model,
            PredictRequest(**asked, least_gain=app.settings.verdict.least_gain),
            lambda kind: plan_of(app, kind),
            data=app.settings.data_folder,
            on_result=on_result,
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


def _show_given(given: "Given", named: dict[str, Any], *, as_json: bool) -> None:
    """Say what would be forecast, and which arguments name nothing."""
    from model.forecast.card import Refused
    from model.forecast.card_json import refused_document

    refused = [refused_document(one) for one in given.files if isinstance(one, Refused)]
    listed = [name_text(one) for one in given.files if not isinstance(one, Refused)]
    left_aside = list(given.left_aside)
    emit({**named, "files": listed, "refused": refused, "left_aside": left_aside}, as_json=as_json)


class _Shown:
    """What is printed of each file: for people at once, for programs in one document at the end."""

    def __init__(self, given: "Given", *, as_json: bool) -> None:
        self.as_json = as_json
        self.left_aside = given.left_aside
        self.documents: list[dict[str, Any]] = []

    def add(self, result: "Result") -> None:
        from model.forecast.card import ForecastCard
        from model.forecast.card_json import card_document, refused_document
        from model.forecast.card_text import card_text, refused_text

        if isinstance(result, ForecastCard):
            document, text = card_document(result), card_text(result)
        else:
            document, text = refused_document(result), refused_text(result)
        self.documents.append(document)
        if not self.as_json:
            click.echo(f"{text}\n")

    def sum_up(self, predicted: "Predicted", total_s: float) -> None:
        from model.forecast.card_json import ranking_document
        from model.forecast.card_text import ranking_text

        ranking = predicted.ranking
        if ranking is not None and not self.as_json:
            click.echo(f"{ranking_text(ranking)}\n")
        run_id = None if predicted.outcome is None else predicted.outcome.run_id
        counts = {"n_failed": predicted.n_failed, "n_partial": predicted.n_partial}
        times = {"load_seconds": dict(predicted.load_s), "total_seconds": total_s}
        loading = ", ".join(f"{what} {s:.2f}" for what, s in predicted.load_s.items())
        lines = [f"loading: {loading} s; {total_s:.2f} s in all"]
        if self.left_aside:
            names = [*self.left_aside[:N_NAMED], *["…"][: len(self.left_aside) > N_NAMED]]
            lines.insert(0, f"left aside in folders: {len(self.left_aside):,} ({', '.join(names)})")
        if run_id is not None:
            lines.append(f"recorded as run {run_id}")
        ranked = {"ranking": None if ranking is None else ranking_document(ranking)}
        self._emit({**ranked, **counts, **times, "run_id": run_id}, "\n".join(lines))

    def break_off(self) -> None:
        """Print what is done although the rest will not be: what went wrong is told elsewhere."""
        if self.as_json and self.documents:
            self._emit({"is_complete": False}, "")

    def _emit(self, more: dict[str, Any], text: str) -> None:
        payload = {"files": self.documents, "n_files": len(self.documents), "is_complete": True}
        emit(
            {**payload, "left_aside": list(self.left_aside), **more},
            as_json=self.as_json,
            text=text,
        )


def _moment(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text.strip())
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise click.BadParameter(
            f"{text!r} is no time: write 2026-11-23T18:30 or 2026-11-23T18:30+02:00",
            param_hint="--posted-at",
        ) from error
