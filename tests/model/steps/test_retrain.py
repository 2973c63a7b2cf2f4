"""A challenger that has to earn its place: what is promoted, refused, left out and done once."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from catalog.console import Silent
from catalog.errors import NotFound
from catalog.facts import ModelFacts, ObservationFacts, VideoFacts
from catalog.read.lookup import find_model, find_split, newest_model
from catalog.read.model_history import Change, model_history, model_in_use
from catalog.read.pending import split_rows, videos_to_score
from catalog.record.lineage import PRODUCTION, set_alias
from catalog.record.sightings import store_sightings
from catalog.schema.session import Catalog
from features.store import FeatureStore
from model.batches import Example
from model.errors import BadSetting
from model.split import SplitConfig
from model.steps import retrain as step
from model.steps.retrain import RetrainRequest, Verdict, retrain
from model.steps.score import score
from model.steps.split import create_split
from model.steps.train import TrainRequest, train
from tests.fresh_catalog import ask, fresh_catalog
from tests.model.planted import FIRST, small_counts

SPLIT = SplitConfig(val=0.1, holdout=0.25)


@dataclass
class House:
    """A catalog of posts whose views follow from who posts, and a model called house."""

    catalog: Catalog
    data: Path

    def add(self, rows: Sequence[Example], *, age: timedelta = timedelta(days=2)) -> None:
        """Store the posts, each with its exact count as it was seen at that age."""
        sightings = []
        for row in rows:
            assert row.facts.posted_at is not None
            assert row.views_k is not None
            facts = VideoFacts(
                tiktok_id=f"house-{row.video_id}",
                url=f"https://example.org/{row.video_id}",
                caption="",
                author_key=f"author-{row.facts.author}",
                posted_at=row.facts.posted_at,
                duration_s=None,
                width_px=None,
                height_px=None,
                hashtags=row.facts.hashtags,
            )
            at = row.facts.posted_at + age
            shown = str(round(1000 * row.views_k))
            sightings.append((facts, ObservationFacts(at, shown, row.views_k, 0.0, "import")))
        with self.catalog.write() as session:
            store_sightings(session, sightings, run_id=None, found_by=None)

    def request(self, preset: str, *, split: SplitConfig = SPLIT, **training) -> RetrainRequest:
        asked = TrainRequest(preset, name="house", **training)
        return RetrainRequest(asked, split, "log_mae", 100, 0.01, "me")

    def retrain(self, preset: str, **more) -> tuple[dict[str, int], Verdict | None]:
        outcome, verdict = retrain(
            self.catalog, self.request(preset, **more), self.no_feature, **self.place
        )
        assert outcome.status == "ok"
        return dict(outcome.codes), verdict

    def train(self, preset: str, **more) -> ModelFacts:
        request = TrainRequest(preset, name="house", **more)
        return train(self.catalog, request, self.no_feature, **self.place)[1]

    @property
    def place(self):
        store = FeatureStore(str(self.data / "features"))
        return {"store": store, "data": self.data, "progress": Silent()}

    def promote(self, model: ModelFacts) -> None:
        with self.catalog.write() as session:
            set_alias(session, "house", PRODUCTION, model.id, set_by="me", reason="by hand")

    @staticmethod
    def no_feature(kind: str):
        raise NotFound(f"no {kind}")

    @property
    def champion(self) -> int | None:
        with self.catalog.read() as session:
            model = newest_model(session, "house", alias=PRODUCTION)
        return None if model is None else model.version

    @property
    def history(self) -> list[Change]:
        with self.catalog.read() as session:
            return model_history(session, "house")

    def count(self, table: str) -> int:
        return ask(self.catalog, f"SELECT COUNT(*) FROM {table}")[0][0]


@contextmanager
def house(folder: Path, rows: Sequence[Example]) -> Iterator[House]:
    with fresh_catalog(folder) as catalog:
        made = House(catalog, folder)
        made.add(rows)
        yield made


ROWS = small_counts(400, seed=3, n_authors=50)


@pytest.fixture
def posts(tmp_path: Path) -> Iterator[House]:
    """300 posts; a hundred more are in ROWS."""
    with house(tmp_path, ROWS[:300]) as made:
        yield made


def shuffled(rows: Sequence[Example], seed: int) -> list[Example]:
    order = np.random.default_rng(seed).permutation(len(rows))
    return [
        replace(row, views_k=rows[other].views_k) for row, other in zip(rows, order, strict=True)
    ]


def test_a_first_challenger_is_promoted_where_it_beats_the_constants(posts):
    codes, verdict = posts.retrain("author_recent")
    assert codes == {}
    assert verdict is not None
    assert verdict.is_promoted
    assert verdict.champion is None
    assert verdict.trial.n == 75  # a quarter, the newest
    assert verdict.trial.high is not None
    assert verdict.trial.high < 0
    assert posts.champion == 1
    [change] = posts.history
    assert (change.action, change.from_version, change.to_version) == ("promoted", None, 1)
    assert (change.set_by, change.metric, change.n) == ("me", "log_mae", 75)
    assert change.reason.startswith("better: log_mae ")
    assert (change.diff_low, change.diff_high) == (verdict.trial.low, verdict.trial.high)


def test_a_challenger_that_beats_no_constant_is_kept_and_listed(posts):
    codes, verdict = posts.retrain("hashtag_mean")  # there is no hashtag
    assert codes == {"challenger_refused": 1}
    assert verdict is not None
    assert not verdict.is_promoted
    assert posts.champion is None
    [change] = posts.history
    assert (change.action, change.to_version) == ("refused", 1)
    assert change.reason.startswith("not better: log_mae ")
    with posts.catalog.read() as session:
        assert find_model(session, name="house").version == 1


def test_a_worse_champion_is_replaced_and_a_worse_challenger_is_not(posts):
    create_split(posts.catalog, SPLIT)
    posts.promote(posts.train("hashtag_mean"))
    _codes, verdict = posts.retrain("author_recent")
    assert verdict is not None
    assert verdict.is_promoted
    assert verdict.trial.rival == "house:1"
    assert posts.champion == 2
    posts.add(ROWS[300:])
    codes, verdict = posts.retrain("hashtag_mean")
    assert codes["challenger_refused"] == 1
    assert verdict is not None
    assert verdict.trial.rival == "house:2"
    assert verdict.trial.low is not None
    assert verdict.trial.low > 0  # it is even surely worse
    assert posts.champion == 2
    assert [change.action for change in posts.history] == ["promoted", "promoted", "refused"]


def test_a_challenger_of_another_regime_is_refused(posts):
    posts.promote(posts.retrain("author_recent")[1].challenger)
    posts.add(ROWS[300:])
    _codes, verdict = posts.retrain("author_recent", shuffle_labels=True)
    assert verdict is not None
    assert not verdict.is_promoted
    assert posts.champion == 1


def test_on_unchanged_data_nothing_is_done_or_tested_again(posts):
    posts.retrain("hashtag_mean")
    tables = ("dataset_split", "model_version", "prediction")
    before = [posts.count(table) for table in tables]
    for _ in range(3):
        assert posts.retrain("hashtag_mean") == ({"judged_before": 1}, None)
    posts.retrain("author_recent")
    assert posts.retrain("author_recent") == ({"is_production": 1}, None)
    after = [posts.count(table) for table in tables]
    assert [now - then for now, then in zip(after, before, strict=True)] == [0, 1, 0]
    assert len(posts.history) == 2


def test_what_was_rolled_back_does_not_come_again_without_new_data(posts):
    create_split(posts.catalog, SPLIT)
    first = posts.train("hashtag_mean")
    posts.promote(first)
    assert posts.retrain("author_recent")[1].is_promoted
    posts.promote(first)
    assert posts.retrain("author_recent") == ({"judged_before": 1}, None)
    assert posts.champion == 1


@pytest.mark.parametrize("where", ["train", "_judged", "_recorded"])
def test_a_killed_retraining_goes_on_as_itself(posts, monkeypatch, where):
    def killed(*_args, **_more):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(step, where, killed)
        with pytest.raises(KeyboardInterrupt):
            posts.retrain("author_recent")
    assert posts.champion is None
    _codes, verdict = posts.retrain("author_recent")
    assert verdict is not None
    assert verdict.is_promoted
    assert (posts.count("dataset_split"), posts.count("model_version")) == (1, 1)
    runs = ask(posts.catalog, "SELECT status FROM run WHERE kind = 'retrain'")
    assert runs == [("ok",)]


def test_a_challenger_that_nobody_judged_yet_is_not_used(posts, monkeypatch):
    def killed(*_args, **_more):
        raise KeyboardInterrupt

    monkeypatch.setattr(step, "_judged", killed)
    with pytest.raises(KeyboardInterrupt):
        posts.retrain("hashtag_mean")
    with posts.catalog.read() as session, pytest.raises(NotFound, match="house:1"):
        model_in_use(session, "house")
    create_split(posts.catalog, SPLIT)
    trained = posts.train("author_mean")
    with posts.catalog.read() as session:
        used, remark = model_in_use(session, "house")
    assert used == trained
    assert remark == "no version of house is @production: the newest one, version 2, is used"


def test_videos_that_taught_the_champion_do_not_judge(posts):
    create_split(posts.catalog, SplitConfig(strategy="hash", val=0.1, holdout=0.2))
    posts.promote(posts.train("hashtag_mean"))
    codes, verdict = posts.retrain("author_recent")
    assert verdict is not None
    n_taught = codes["rival_learned_from"]
    assert 40 < n_taught < 75
    assert verdict.trial.n == 75 - n_taught
    if verdict.trial.n < 30:
        assert verdict.reason.startswith(f"only {verdict.trial.n} videos judge")
    assert f"without {n_taught} videos that house:1 had learned from" in verdict.reason
    assert not verdict.is_promoted


def test_a_champion_whose_file_is_gone_leaves_the_constants_as_rivals(posts):
    create_split(posts.catalog, SPLIT)
    champion = posts.train("author_mean")
    posts.promote(champion)
    (posts.data / champion.artifact_uri).unlink()
    _codes, verdict = posts.retrain("author_recent")
    assert verdict is not None
    assert verdict.is_promoted
    assert verdict.trial.rival in step.CONSTANT_NAMES
    assert "house version 1 cannot be used" in verdict.reason
    assert "where this one is house@production, promote it" in verdict.reason


def test_so_does_a_champion_whose_features_are_made_no_more(posts, monkeypatch):
    create_split(posts.catalog, SPLIT)
    posts.promote(posts.train("author_mean"))
    forecasts = step._forecasts

    def blind(field, model, checkpoint):
        return {} if model.version == 1 else forecasts(field, model, checkpoint)

    monkeypatch.setattr(step, "_forecasts", blind)
    _codes, verdict = posts.retrain("author_recent")
    assert verdict is not None
    assert verdict.is_promoted
    assert verdict.trial.rival in step.CONSTANT_NAMES
    assert "house:1 can read only 0" in verdict.reason


def test_a_first_challenger_may_not_be_worse_than_what_is_used_meanwhile(posts, monkeypatch):
    create_split(posts.catalog, SPLIT)
    posts.train("author_recent")
    forecasts = step._forecasts

    def far_off(field, model, checkpoint):
        said = forecasts(field, model, checkpoint)
        if model.version == 1:
            return said
        return {
            video: replace(one, predicted_k=1.7 * one.predicted_k) for video, one in said.items()
        }

    monkeypatch.setattr(step, "_forecasts", far_off)
    _codes, verdict = posts.retrain("author_mean")
    assert verdict is not None
    assert not verdict.is_promoted
    assert "worse than house:1, which is used meanwhile" in verdict.reason


def test_no_other_promotion_is_undone(posts, monkeypatch):
    create_split(posts.catalog, SPLIT)
    first = posts.train("hashtag_mean")
    judged = step._judged

    def slowly(*args):
        verdict = judged(*args)
        posts.promote(first)
        return verdict

    monkeypatch.setattr(step, "_judged", slowly)
    assert posts.retrain("author_recent") == ({"champion_changed": 1}, None)
    assert posts.champion == 1


def test_few_labels_are_not_enough(tmp_path):
    with house(tmp_path, ROWS[:99]) as few:
        assert few.retrain("author_recent") == ({"too_few_rows": 1}, None)
        assert few.count("model_version") == 0


def test_who_is_asked_is_not_retrained(posts):
    with pytest.raises(BadSetting, match="asked and not trained"):
        posts.retrain("judge")


def test_labels_at_an_age_that_were_seen_too_late_teach_nothing(tmp_path):
    # Posts every 3 hours whose counts are seen at 7 days: the last 56 before the slice are late.
    with house(tmp_path, ROWS[:300]) as made:
        made.add(ROWS[:300], age=timedelta(days=7))
        split = replace(SPLIT, label="from:7d")
        codes, verdict = made.retrain("author_recent", split=split)
        assert codes["label_seen_too_late"] == 55
        parts = dict(ask(made.catalog, "SELECT part, COUNT(*) FROM split_member GROUP BY part"))
        assert parts["holdout"] == 75
        assert parts["train"] + parts["val"] == 300 - 75 - 55
        assert verdict is not None


def test_where_every_label_came_too_late_nothing_is_trained(tmp_path):
    month = timedelta(days=30)
    quick = [
        replace(row, facts=replace(row.facts, posted_at=FIRST + timedelta(minutes=number)))
        for number, row in enumerate(ROWS[:300])
    ]
    with house(tmp_path, quick) as made:
        made.add(quick, age=month)
        codes, verdict = made.retrain("author_recent", split=replace(SPLIT, label="at:30d"))
        assert codes == {"label_seen_too_late": 225, "too_few_rows": 1}
        assert verdict is None


def test_a_champion_of_another_label_is_judged_on_the_challengers(tmp_path):
    with house(tmp_path, ROWS[:300]) as made:
        create_split(made.catalog, SPLIT)
        made.promote(made.train("hashtag_mean"))
        made.add(ROWS[:300], age=timedelta(days=7))
        _codes, verdict = made.retrain("author_recent", split=replace(SPLIT, label="at:7d"))
        assert verdict is not None
        assert verdict.challenger.label == "at:7d"
        assert "house:1 forecasts latest, judged on at:7d" in verdict.reason


def test_whoever_forecasts_at_the_age_of_a_label_is_asked_for_that_age(tmp_path):
    with house(tmp_path, ROWS[:40]) as made:
        made.add(ROWS[:40], age=timedelta(days=12))
        create_split(made.catalog, replace(SPLIT, label="at:7d"), name="week")
        model = made.train("author_recent")
        with made.catalog.read() as session:
            split = find_split(session, "week")
            rows = [*split_rows(session, split.id, {}, parts=("train", "holdout"))]
            asked = [
                *videos_to_score(
                    session,
                    model_version_id=model.id,
                    feature_set_ids={},
                    required=(),
                    run_id=0,
                    rescore=True,
                    optional=True,
                )
            ]
        # And not for that of the count before it, of two days.
        assert {row.age_s for row in rows} == {row.label_age_s for row in asked} == {7 * 86_400}


def test_score_uses_what_was_promoted_and_what_was_seen_since(posts):
    posts.retrain("author_mean")
    rich = [replace(row, facts=replace(row.facts, author=99)) for row in ROWS[300:]]
    posts.add([replace(row, views_k=50.0) for row in rich])
    with posts.catalog.read() as session:
        model, remark = model_in_use(session, "house")
    assert remark is None
    score(posts.catalog, model, **posts.place)
    # Of an author whom nobody knew in training: the last post is judged by the ones before it.
    sql = (
        "SELECT p.predicted_k FROM prediction p JOIN video v ON v.id = p.video_id"
        " WHERE v.tiktok_id IN ('house-301', 'house-400') ORDER BY v.posted_at"
    )
    (first,), (last,) = ask(posts.catalog, sql)
    assert first < 5
    assert last > 20


def test_luck_promotes_nothing_that_learned_from_shuffled_counts(tmp_path):
    promoted = []
    for seed in range(5):  # python -m bench.retrain has more of them, and models that learn more
        folder = tmp_path / str(seed)
        folder.mkdir()
        with house(folder, shuffled(small_counts(160, seed=seed, n_authors=30), seed)) as made:
            _codes, verdict = made.retrain("author_recent")
            assert verdict is not None
            promoted.append(verdict.is_promoted)
    assert not any(promoted)
