"""The command that takes a model apart: explain."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from catalog.console import App, emit, json_option, pass_app, table
from model.commands.choices import find_model_named, store_of

if TYPE_CHECKING:
    from model.evaluation.intervals import Interval
    from model.steps import Explained


@click.command()
@click.option("--model", "model_name", help="NAME, NAME:VERSION or NAME@ALIAS.")
@click.option(
    "--part",
    type=click.Choice(["val", "holdout", "train"]),
    default="holdout",
    show_default=True,
    help="Of the model's split.",
)
@click.option(
    "--videos",
    default=2_000,
    show_default=True,
    type=click.IntRange(min=2),
    help="At most so many.",
)
@click.option("--seed", default=0, show_default=True)
@json_option
@pass_app
def explain(
    app: App, model_name: str | None, part: str, videos: int, seed: int, as_json: bool
) -> None:
    """Say what drives a model's forecasts: blocks of inputs, hashtags, hours of posting.

    It is about the model and not about the world: a hashtag that raises a forecast need not raise
    views. For models that read blocks: modern, ridge, boosted.
    """
    from catalog.progress import progress
    from model import steps

    model = find_model_named(app, model_name or app.settings.score.model)
    with progress("explain", quiet=as_json) as bar:
        outcome, found = steps.explain(
            app.catalog,
            model,
            steps.load_model(app.settings.data_folder, model),
            steps.reader_of(model, store_of(app)),
            part=part,
            at_most=videos,
            seed=seed,
            progress=bar,
        )
    payload: dict[str, Any] = {
        "model": model.name,
        "version": model.version,
        "run_id": outcome.run_id,
        **asdict(found),
    }
    emit(payload, as_json=as_json, text=_text(f"{model.name}:{model.version}", found))


def _text(name: str, found: "Explained") -> str:
    importance = [
        [
            one.block,
            f"{one.present:.0%}",
            f"{one.log_mae:+.3f}",
            _ends(one.log_mae_interval, "+.3f"),
            "–" if one.spearman is None else f"{one.spearman:+.3f}",
        ]
        for one in found.importances
    ]
    columns = ["block", "present", "log-MAE without it", "95 %", "Spearman lost"]
    title = f"{name} on {found.n} {found.part} videos: how much worse each block's absence makes it"
    parts = [table(columns, importance, title=title)]
    for what, effects in (("hashtag", found.hashtags), ("hour (UTC)", found.hours)):
        if effects:
            cells = [
                [one.what, one.n, f"x{one.factor:.2f}", _ends(one.interval, ".2f")]
                for one in effects
            ]
            parts.append(table([what, "videos", "factor on the forecast", "95 %"], cells))
    return "\n".join(parts)


def _ends(interval: "Interval", form: str) -> str:
    low, high = interval
    return f"{low:{form}} … {high:{form}}"
