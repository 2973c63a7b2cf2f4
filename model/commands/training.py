"""The commands that train and score: train, score."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from catalog.console import App, dry_run_option, emit, emit_outcome, json_option, pass_app
from model.commands.choices import again_option, feature_set_of, find_model_named, store_of

if TYPE_CHECKING:
    from catalog.work.runs import Outcome
    from model.steps.train import TrainRequest

JUDGE = "judge"  # the preset, and its kind of model


@click.command()
@click.argument("preset", required=False)
@click.option("--split", "split_name", help="Default: the newest.")
@click.option("--name", help="Register under this name. Default: the preset and what differs.")
@click.option("--objective", type=click.Choice(["regression", "quartile"]))
@click.option("--target", type=click.Choice(["raw", "standard", "log1p"]), help="Scale learnt on.")
@click.option("--loss", type=click.Choice(["mse", "mae", "huber", "pinball"]))
@click.option("--seed", type=int)
@click.option("--epochs", type=click.IntRange(min=1))
@click.option("--batch", type=click.IntRange(min=1))
@click.option("--lr", type=float)
@click.option("--weight-decay", type=float)
@click.option("--max-minutes", type=float, help="Stop after the epoch that passes this.")
@click.option("--device", metavar="auto|cpu|cuda|cuda:N")
@click.option("--precision", type=click.Choice(["auto", "fp32", "bf16"]))
@click.option(
    "--set",
    "network",
    multiple=True,
    metavar="NAME=VALUE",
    help="One setting of the network, such as modalities=visual; repeatable.",
)
@click.option(
    "--as-of",
    type=click.Choice(["post", "crawl"]),
    help="Of account and sound: what was seen before the post; crawl: else what was seen later.",
)
@click.option(
    "--head",
    type=click.Choice(["tabicl"]),
    help="Read PRESET's columns by a pretrained table network instead; needs --weights.",
)
@click.option(
    "--weights",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Of the --head: as it was published, or a weights file of viewcast.",
)
@click.option(
    "--shuffle-labels",
    is_flag=True,
    help="Give the training videos each other's counts: what then still beats a constant is luck.",
)
@again_option
@json_option
@dry_run_option
@pass_app
def train(
    app: App,
    /,
    preset: str | None,
    split_name: str | None,
    name: str | None,
    objective: str | None,
    target: str | None,
    seed: int | None,
    network: tuple[str, ...],
    as_of: str | None,
    head: str | None,
    weights: Path | None,
    shuffle_labels: bool,
    again: bool,
    as_json: bool,
    dry_run: bool,
    **fit: Any,
) -> None:
    """Train PRESET and evaluate it by part; `models presets` lists them."""
    from model.registry import describe_preset
    from model.settings import TrainConfig

    preset = preset or app.settings.of(TrainConfig).preset
    asked: dict[str, Any] = {
        "fit": {name: value for name, value in fit.items() if value is not None},
        "network": {**_parsed(network), **({} if as_of is None else {"as_of": as_of})},
        "objective": objective,
        "target": target,
        "name": name,
        "split": split_name,
        "shuffle_labels": shuffle_labels,
        "again": again,
    }
    if head is not None:
        asked["network"] = {**_head_settings(preset, weights), **asked["network"]}
        preset, asked["name"] = head, name or f"{preset}-{head}"
    elif weights is not None:
        raise click.UsageError("--weights are those of a --head; give --head tabicl")
    if dry_run:
        settled = request_of(app, preset, seed=seed, **asked).settled()
        calls = _calls(app, split_name) if preset == JUDGE else {}
        emit({"dry_run": True, **describe_preset(settled), **calls}, as_json=as_json)
        return
    emit_outcome(run_train(app, preset, seed=seed, quiet=as_json, **asked), as_json=as_json)


@click.command()
@click.option("--model", "model_name", help="NAME, NAME:VERSION or NAME@ALIAS.")
@click.option("--rescore", is_flag=True, help="Also videos that this version has scored before.")
@click.option(
    "--part",
    "parts",
    multiple=True,
    type=click.Choice(["train", "val", "holdout", "new"]),
    help="Only this part of the model's split, new: outside of it; repeatable.",
)
@json_option
@dry_run_option
@pass_app
def score(
    app: App,
    model_name: str | None,
    rescore: bool,
    parts: tuple[str, ...],
    as_json: bool,
    dry_run: bool,
) -> None:
    """Predict the views of every ready video that the model has not scored yet."""
    asked: dict[str, Any] = {"rescore": rescore, "parts": parts or None}
    if dry_run:
        from model.steps.score import count_to_score

        model = find_model_named(app, model_name)
        n_videos = count_to_score(app.catalog, model, **asked)
        payload = {"dry_run": True, "model": model.name, "version": model.version}
        calls = {"judge_questions": n_videos} if model.model_kind == JUDGE else {}
        emit({**payload, "n_videos": n_videos, **calls}, as_json=as_json)
        return
    emit_outcome(run_score(app, model_name, quiet=as_json, **asked), as_json=as_json)


def run_train(
    app: App,
    preset: str,
    *,
    quiet: bool = False,
    parent_id: int | None = None,
    **asked: Any,
) -> "Outcome":
    """Train with the application's settings; `asked` are fields of a TrainRequest.

    if_missing: any version of the model will do.
    """
    from catalog.console import progress
    from features.device import resolve
    from model.settings import JudgeSettings
    from model.solved.judge import judging
    from model.steps.train import train as train_step

    request = request_of(app, preset, **asked)
    if (fit := request.settled().fit) is not None:
        resolve(fit.device)  # a GPU that is not there is said before anything is recorded
    asked_of = judging(app.settings.of(JudgeSettings))
    with progress(f"train {preset}", quiet=quiet) as bar, asked_of:
        outcome, _model = train_step(
            app.catalog,
            request,
            lambda kind: feature_set_of(app, kind),
            store=store_of(app),
            data=app.settings.data_folder,
            progress=bar,
            parent_id=parent_id,
        )
    return outcome


def request_of(app: App, preset: str, *, seed: int | None = None, **asked: Any) -> "TrainRequest":
    """What is asked for; the settings say what no flag does."""
    from catalog.ages import duration_s
    from model.errors import BadSetting
    from model.registry import find_preset
    from model.settings import JUDGE_OFF, JudgeSettings, TrainConfig
    from model.steps.train import TrainRequest

    if preset == JUDGE:
        judge = app.settings.of(JudgeSettings)
        if not judge.is_on:
            raise BadSetting(JUDGE_OFF)
        asked["network"] = {"judge": judge.identity, **asked.get("network", {})}
    device = asked.get("fit", {}).get("device")
    settings = app.settings_with(train={"seed": seed, "device": device}).of(TrainConfig)
    network = {**asked.pop("network", {})}
    if settings.as_of == "crawl" and hasattr(find_preset(preset).network, "as_of"):
        network.setdefault("as_of", settings.as_of)
    if hasattr(find_preset(preset).network, "forecast_age_s"):
        asked_age = {"age": settings.age, "forecast_age_s": duration_s(settings.forecast_age)}
        network = {**_otherwise(preset, asked_age), **network}
    return TrainRequest(
        preset=preset,
        seed=settings.seed,
        machine={"device": settings.device, "precision": settings.precision},
        network=network,
        **asked,
    )


def _otherwise(preset: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Those of the settings that the preset does not have anyway."""
    from model.registry import find_preset

    network = find_preset(preset).network
    return {name: value for name, value in settings.items() if getattr(network, name) != value}


def _head_settings(preset: str, weights: Path | None) -> dict[str, object]:
    """The settings of a head over the columns of that preset, with its weights."""
    from features.weights import weights_sha256
    from model.blocks.encoder import BlockConfig
    from model.registry import find_preset
    from model.solved.tabicl import block_settings

    if weights is None:
        raise click.UsageError("--head needs --weights FILE: nothing is downloaded")
    columns = find_preset(preset).network
    if not isinstance(columns, BlockConfig):
        raise click.UsageError(
            f"{preset} has no columns for a head; modern, ridge, boosted and text have"
        )
    sha256 = weights_sha256(weights)
    return {
        **block_settings(columns),
        "weights": str(weights.resolve()),
        "weights_sha256": sha256,
    }


def _calls(app: App, split_name: str | None) -> dict[str, object]:
    """Of how many posts a training of the judge would ask, and whom."""
    from catalog.read.lookup import find_split
    from model.settings import JudgeSettings
    from model.solved.judge import sample_step

    judge = app.settings.of(JudgeSettings)
    with app.catalog.read() as session:
        n_train = find_split(session, split_name).n_by_part.get("train", 0)
    n_asked = -(-n_train // sample_step(n_train, judge.train_calls))
    return {"judge_questions": n_asked, "asked": judge.url or judge.command[0]}


def _parsed(pairs: tuple[str, ...]) -> dict[str, object]:
    """Read NAME=VALUE, a number or a truth value where it looks like one."""
    import json

    found: dict[str, object] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not (name and equals):
            raise click.UsageError(f"--set {pair!r}: write NAME=VALUE, such as modalities=visual")
        try:
            found[name] = json.loads(text)
        except ValueError:
            found[name] = text
    return found


def run_score(
    app: App,
    model_name: str | None = None,
    *,
    rescore: bool = False,
    parts: tuple[str, ...] | None = None,
    quiet: bool = False,
    parent_id: int | None = None,
) -> "Outcome":
    """Score with the application's settings; what `score`, `nightly` and `demo` call."""
    from catalog.console import progress
    from model.settings import JudgeSettings, ScoreConfig
    from model.solved.judge import judging
    from model.steps.score import score as score_step

    with progress("score", quiet=quiet) as bar, judging(app.settings.of(JudgeSettings)):
        return score_step(
            app.catalog,
            find_model_named(app, model_name),
            store=store_of(app),
            data=app.settings.data_folder,
            progress=bar,
            device=app.settings.of(ScoreConfig).device,
            rescore=rescore,
            parts=parts,
            parent_id=parent_id,
            ages=app.settings.ages.rule,
        )
