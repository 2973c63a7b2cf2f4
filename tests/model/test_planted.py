"""Where views follow from something a model must find it, and nothing where there is nothing."""

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.stats import spearmanr

from catalog.console import Silent
from catalog.facts import ModelFacts
from catalog.work.runs import Outcome
from cli import main
from model.batches import Example
from model.modern.config import ModernConfig
from model.modern.model import ModernNetwork
from model.modern.solve import solve_modern
from model.scoring import Scorer
from model.split import SplitConfig
from model.steps.score import score
from model.steps.split import create_split
from model.steps.train import TrainRequest, train
from tests.fresh_catalog import ask
from tests.model import planted as worlds
from tests.model.rows import log_target
from tests.model.solving import Solving
from tests.planted import Planted, planted

pytestmark = pytest.mark.numeric

CONSTANTS = ("train_mean", "train_median", "geometric_mean")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory):
    """432 videos of the replica, the newest third of them held out."""
    with planted(tmp_path_factory.mktemp("planted")) as found:
        create_split(found.catalog, SplitConfig(val=0.1, holdout=0.35))
        yield found


def trained(study: Planted, preset: str, **more: Any) -> tuple[Outcome, ModelFacts]:
    return train(
        study.catalog,
        TrainRequest(preset, **more),
        study.feature_set,
        store=study.store,
        data=study.data,
        progress=Silent(),
    )


def holdout(study: Planted, run_id: int) -> dict[str, float]:
    sql = (
        "SELECT name, value FROM run_metric WHERE run_id = :id AND split = 'holdout' AND step = -1"
    )
    return dict(ask(study.catalog, sql, id=run_id))


def test_a_model_beats_every_constant_where_there_is_something_to_find(study):
    outcome, _model = trained(study, "modern")
    found = holdout(study, outcome.run_id)
    for constant in CONSTANTS:
        for metric in ("mse_k2", "mae_k", "log_mae"):
            assert found[f"{metric}_diff.{constant}.high"] < 0, (metric, constant)
    assert found["spearman.low"] > 0.5
    assert 0.7 <= found["coverage_80"] <= 0.95


def test_with_the_labels_shuffled_nothing_is_better_than_a_constant(study):
    outcome, model = trained(study, "modern", shuffle_labels=True)
    found = holdout(study, outcome.run_id)
    assert model.name == "modern-shuffled"
    for constant in ("train_median", "geometric_mean"):
        assert found[f"log_mae_diff.{constant}.high"] > 0
    assert found.get("spearman.low", -1.0) < 0.2


def test_an_interval_is_stored_with_each_forecast(study):
    _outcome, model = trained(study, "modern")
    score(study.catalog, model, store=study.store, data=study.data, progress=Silent())
    rows = ask(study.catalog, "SELECT predicted_k, low_k, high_k FROM prediction")
    assert len(rows) == 432
    assert all(low <= predicted <= high for predicted, low, high in rows)


def solved(rows: Sequence[Example], **settings: Any) -> ModernNetwork:
    """A model of the older 80 % of the rows, of which the newest eighth validates."""
    n = len(rows)
    solving = Solving(list(rows[: n * 7 // 10]), list(rows[n * 7 // 10 : n * 8 // 10]))
    return solve_modern(ModernConfig(**settings), solving.request())


def later(rows: Sequence[Example]) -> list[Example]:
    return list(rows[len(rows) * 8 // 10 :])


def forecasts(network: ModernNetwork, rows: Sequence[Example]) -> np.ndarray:
    """ln(1 + views) that it forecasts of the newest fifth of the rows."""
    scorer = Scorer(network, log_target(list(rows[: len(rows) * 7 // 10])))
    return np.log1p([1000 * scorer(row).views_k for row in later(rows)])


def logs(rows: Sequence[Example]) -> np.ndarray:
    return np.log1p([1000 * (row.views_k or 0.0) for row in rows])


@pytest.mark.parametrize("members", ["ridge", "trees", "ridge,trees,grams,past"])
def test_counts_below_a_thousand_are_forecast_as_their_thousands_are(members):
    rows = worlds.small_counts(800)
    many = [replace(row, views_k=1000 * (row.views_k or 0.0)) for row in rows]
    assert np.mean([(row.views_k or 0.0) < 1 for row in rows]) > 0.7
    rows, many = worlds.with_history(rows), worlds.with_history(many)
    small = forecasts(solved(rows, members=members), rows)
    large = forecasts(solved(many, members=members), many)
    assert np.expm1(small).min() > 1
    assert spearmanr(small, large).statistic > 0.98
    truth = logs(later(rows))
    middle = np.median(logs(rows[:560]))
    assert np.abs(small - truth).mean() < 0.6 * np.abs(middle - truth).mean()


@pytest.mark.parametrize("members", ["ridge", "trees", "ridge,trees,grams,past"])
def test_what_authors_got_lately_is_found_where_it_tells(members):
    rows = worlds.walking(1000)
    truth = logs(later(rows))
    known = worlds.with_history(rows)
    with_it = forecasts(solved(known, members=members), known)
    without = forecasts(solved(rows, members=members, history="none"), rows)
    middle = np.abs(np.median(logs(rows[:700])) - truth).mean()
    error = np.abs(with_it - truth).mean()
    # Half of it is of the last days and of chance, which nobody can know.
    assert error < 0.65 * middle
    assert error < 0.75 * np.abs(without - truth).mean()
    assert spearmanr(with_it, truth).statistic > 0.7


def test_no_row_knows_what_later_posts_got():
    rows = worlds.walking(300)
    changed = [
        row if at < 240 else replace(row, views_k=1000.0 * (at % 7 + 1))
        for at, row in enumerate(rows)
    ]
    network = solved(worlds.with_history(rows))
    before, after = (forecasts(network, worlds.with_history(some)) for some in (rows, changed))
    at_once = int(timedelta(days=1) / timedelta(hours=3)) + 1  # until the first of them is known
    np.testing.assert_array_equal(before[:at_once], after[:at_once])
    assert (before[at_once:] != after[at_once:]).any()


def test_picture_and_sound_are_found_where_they_count():
    network = solved(worlds.planted(500, media=True))
    assert set(network.config.kept.split(",")) == {"visual", "audio", "frames"}


def test_picture_and_sound_of_other_videos_are_seldom_kept():
    n_kept = 0
    for seed in range(4):
        rows = worlds.with_others_media(worlds.planted(250, seed=seed, media=True), seed=seed)
        kept = solved(rows, members="ridge").config.kept
        n_kept += len([name for name in kept.split(",") if name])
    assert n_kept <= 4  # of 12


def viewcast(folder: Path, *arguments: str) -> dict[str, Any]:
    """Run a command in this process and return its document."""
    done = CliRunner().invoke(main, ["--data", str(folder), *arguments, "--json"])
    assert done.exit_code == 0, done.output
    return dict(json.loads(done.stdout))


def test_followers_seen_later_tell_nothing_unless_that_is_asked_for(tmp_path):
    # Seen two days after each post, and following from what it got: of this post, the future.
    generator = np.random.default_rng(5)
    fields = ("id", "platform", "author", "posted_at", "collected_at", "views", "followers")
    with (tmp_path / "export.csv").open("w", encoding="utf-8", newline="") as file:
        written = csv.writer(file)
        written.writerow(fields)
        for number in range(600):
            posted_at = worlds.FIRST + timedelta(hours=3 * number)
            log_views = generator.normal(8, 1.5)
            written.writerow(
                (
                    f"post{number}",
                    "shorts",
                    f"author{number % 300}",
                    posted_at.isoformat(),
                    (posted_at + timedelta(days=2)).isoformat(),
                    round(np.exp(log_views)),
                    round(np.exp(log_views + 0.3 * generator.normal())),
                )
            )
    viewcast(tmp_path, "db", "upgrade")
    viewcast(tmp_path, "import", str(tmp_path / "export.csv"))
    divide = ("--strategy", "hash", "--val", "0.1", "--holdout", "0.3")
    viewcast(tmp_path, "split", "create", *divide)
    gains = {}
    for rule in ("post", "crawl"):
        viewcast(tmp_path, "train", "ridge", "--as-of", rule, "--name", f"by-{rule}")
        which = f"part = 'holdout' and model_name = 'by-{rule}'"
        sql = f"select log_mae, log_mae_train_median as middle from v_run_leaderboard where {which}"
        [row] = viewcast(tmp_path, "sql", sql)["rows"]
        gains[rule] = 1 - row["log_mae"] / row["middle"]
    # Nothing before the post but another post of the author, which says nothing of this one.
    assert gains["post"] < 0.03
    assert gains["crawl"] > 0.1
