from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from catalog.facts import PastPost
from model.base import SolveRequest
from model.blocks.past import Asked, Histories
from model.errors import BadSetting, NothingToTrain
from model.forecast.ablation import ablate, forecaster_of
from model.forecast.explain import hashtag_effects, hour_effects, importances
from model.modern.config import ModernConfig
from model.modern.solve import solve_modern
from model.scoring import Scorer
from model.solved.constants import solve_constant
from model.targets import TargetTransform
from tests.model.planted import planted


def with_past(rows):
    """The rows with what those of more than a day before got."""
    posts = [
        PastPost(
            row.video_id,
            row.facts.author,
            None,
            row.facts.hashtags,
            row.facts.posted_at,
            row.facts.posted_at + timedelta(days=1),
            row.views_k,
        )
        for row in rows
    ]
    facts = [row.facts for row in rows]
    asked = [Asked(one.author, None, one.hashtags, one.posted_at) for one in facts]
    columns = Histories(posts).columns(asked)
    return [replace(row, history=past) for row, past in zip(rows, columns, strict=True)]


ROWS = with_past(planted(900, noise=0.2))
TRAIN, LATER = ROWS[:700], ROWS[700:]
TARGET = TargetTransform.fit([row.views_k for row in TRAIN], "log1p")
SMALL = ModernConfig(text_buckets=2**10, gram_buckets=2**12, trees=60, neighbours=5)
MEMBERS = {"ridge": "ridge", "boosted": "trees", "modern": SMALL.members}


@pytest.fixture(scope="module", params=list(MEMBERS))
def network(request, tmp_path_factory):
    asked = SolveRequest(
        train=TRAIN,
        val=[],
        target=TARGET,
        seed=0,
        scratch=tmp_path_factory.mktemp("scratch"),
        note=lambda _code, _detail: None,
        progress=lambda _text: None,
    )
    return solve_modern(replace(SMALL, members=MEMBERS[request.param]), asked)


def test_taken_apart_and_left_whole_it_forecasts_the_same(network):
    model = forecaster_of(network)
    rows = LATER[:10]
    apart = TARGET.score(model.forecast_encoded(model.encode_rows(rows)))
    score = Scorer(network, TARGET)
    assert apart == pytest.approx([score(row).views_k for row in rows])


def test_each_block_of_a_row_has_a_factor_the_strongest_first(network):
    moved = ablate(forecaster_of(network), LATER[0], TARGET)
    assert {"meta", "text", "tags", "author"} <= {one.modality for one in moved}
    strength = [abs(np.log(one.factor)) for one in moved]
    assert strength == sorted(strength, reverse=True)
    assert strength[0] > 0


def test_a_block_that_a_row_has_not_moves_nothing(network):
    bare = replace(LATER[0], facts=replace(LATER[0].facts, caption=""))
    assert "text" not in {one.modality for one in ablate(forecaster_of(network), bare, TARGET)}


def test_what_counts_is_important_and_what_does_not_is_not(network):
    found = {one.block: one for one in importances(forecaster_of(network), LATER, TARGET, seed=0)}
    author, form = found["author"], found["form"]
    assert author.log_mae_interval.low > 0
    assert author.log_mae_interval.low < author.log_mae < author.log_mae_interval.high
    assert author.spearman > 0
    assert author.log_mae > form.log_mae
    assert form.log_mae < 0.05


def test_importance_needs_rows_with_views(network):
    model = forecaster_of(network)
    for rows in (LATER[:1], [LATER[0], replace(LATER[1], views_k=None)]):
        with pytest.raises(NothingToTrain):
            importances(model, rows, TARGET, seed=0)


def test_the_hour_that_was_planted_has_the_effect(network):
    effects = hour_effects(forecaster_of(network), LATER, TARGET, seed=0)
    assert [one.what for one in effects] == [f"{hour:02d}" for hour in range(24)]
    by_hour = {int(one.what): one for one in effects}
    assert by_hour[6].factor > 1.05 > 0.95 > by_hour[18].factor
    assert by_hour[6].interval.low > 1 > by_hour[18].interval.high
    assert by_hour[6].n == len(LATER)


def test_rows_without_a_time_have_no_hours(network):
    timeless = [replace(row, facts=replace(row.facts, posted_at=None)) for row in LATER[:5]]
    assert hour_effects(forecaster_of(network), timeless, TARGET, seed=0) == []


def test_hashtags_have_effects_over_the_rows_that_use_them(network):
    effects = hashtag_effects(forecaster_of(network), LATER, TARGET, seed=0)
    assert 4 <= len(effects) <= 20
    for effect in effects:
        n = sum(effect.what in row.facts.hashtags for row in LATER)
        assert effect.n == n >= 5
        assert effect.interval.low <= effect.factor <= effect.interval.high
    assert [one.factor for one in effects] == sorted((e.factor for e in effects), reverse=True)


def test_without_a_hashtag_a_row_does_not_remember_what_posts_with_it_got(network):
    asked = []

    def remember(rows):
        asked.extend(rows)
        return [replace(row, history=None) for row in rows]

    by_id = {row.video_id: row for row in LATER}
    forecaster = forecaster_of(network)
    effects = hashtag_effects(forecaster, LATER, TARGET, seed=0, remember=remember)
    assert len(asked) == sum(effect.n for effect in effects)
    assert all(len(row.facts.hashtags) < len(by_id[row.video_id].facts.hashtags) for row in asked)
    as_they_were = hashtag_effects(forecaster, LATER, TARGET, seed=0)
    assert {one.what: one.n for one in effects} == {one.what: one.n for one in as_they_were}


def test_a_constant_cannot_be_taken_apart():
    with pytest.raises(BadSetting):
        forecaster_of(solve_constant("mean", [1.0, 2.0]))
