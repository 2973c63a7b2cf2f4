import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from catalog.facts import PostFacts
from features.weights import load_weights, save_weights
from model.base import SolveRequest
from model.batches import NO_FACTS, Example, InputShapes, collate
from model.errors import BadSetting, NothingToTrain
from model.modern.model import ModernNetwork
from model.modern.solve import choose_mixture, solve_modern
from model.modern.table import build_table, read_ledger
from model.modern.tower import ModernConfig
from model.scoring import Scorer
from model.targets import TargetTransform
from tests.model.planted import log_views, planted

TINY = ModernConfig(
    width=16,
    heads=2,
    layers=1,
    bins=4,
    lr=5e-3,
    epochs=12,
    folds=2,
    trees=60,
    neighbours=5,
    small_below=100,
    calibration_rows=100,
    text_buckets=2**10,
)
N_TRAIN = 400


def silent(_text):
    """Show no progress."""


def request_for(rows, folder, *, seed=0):
    notes = {}
    target = TargetTransform.fit([row.views_k for row in rows], "log1p")
    return SolveRequest(rows, [], target, seed, folder, notes.__setitem__, silent), notes


def solved(rows, folder, config=TINY, *, seed=0):
    request, notes = request_for(rows, folder, seed=seed)
    return solve_modern(config, request), request.target, notes


def solved_beside(rows, val, folder, *, notes=None):
    """The tensors of a small model with validation rows."""
    request, told = request_for(rows, folder)
    network = solve_modern(replace(TINY, epochs=2, trees=10), replace(request, val=val))
    if notes is not None:
        notes |= told
    return network.state_dict()


def forecasts(network, target, rows):
    scorer = Scorer(network, target)
    return [scorer(row) for row in rows]


def log_mae(network, target, rows):
    said = np.log1p([one.views_k for one in forecasts(network, target, rows)])
    return float(np.abs(said - log_views(rows)).mean())


@pytest.fixture(scope="module")
def world():
    rows = planted(N_TRAIN + 200, media=True)
    return rows[:N_TRAIN], rows[N_TRAIN:]


@pytest.fixture(scope="module")
def trained(world, tmp_path_factory):
    torch.set_num_threads(1)
    return solved(world[0], tmp_path_factory.mktemp("scratch"))


def median_error(train, rows):
    return float(np.abs(np.median(log_views(train)) - log_views(rows)).mean())


def test_it_learns_what_was_planted(trained, world):
    network, target, _ = trained
    train, later = world
    assert log_mae(network, target, later) < 0.8 * median_error(train, later)
    assert network.config.n_members == TINY.folds or network.config.n_trees > 0


def test_its_interval_holds_80_percent_and_its_point(trained, world):
    network, target, _ = trained
    said = forecasts(network, target, world[1])
    assert all(one.low_k <= one.views_k <= one.high_k for one in said)
    inside = [
        one.low_k <= row.views_k <= one.high_k for one, row in zip(said, world[1], strict=True)
    ]
    assert 0.7 < np.mean(inside) < 0.92


def test_a_score_does_not_depend_on_its_batch(trained, world):
    network, _, _ = trained
    rows = world[1][:9]
    together = network.outputs(collate(rows, InputShapes()))
    backwards = network.outputs(collate(rows[::-1], InputShapes()))
    alone = [network.outputs(collate([row], InputShapes())) for row in rows]
    for name in ("point", "low", "high"):
        value = getattr(together, name)
        assert torch.equal(value, torch.cat([getattr(one, name) for one in alone]))
        assert torch.equal(value, getattr(backwards, name).flip(0))


def test_two_runs_with_one_seed_are_the_same_and_with_another_not(tmp_path):
    rows = planted(150)
    config = replace(TINY, epochs=2, trees=5)
    first, again, other = (
        solved(rows, tmp_path, config, seed=seed)[0].state_dict() for seed in (3, 3, 4)
    )
    assert first.keys() == again.keys()
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert any(
        name not in other or not torch.equal(value, other[name]) for name, value in first.items()
    )


def test_it_leaves_nothing_in_the_scratch_folder(tmp_path):
    solved(planted(60), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_it_is_the_same_when_read_back(trained, world, tmp_path):
    network, _, _ = trained
    path = tmp_path / "model.safetensors"
    save_weights(path, "modern", asdict(network.config), network.state_dict(), {})
    held = load_weights(path)
    assert json.loads(json.dumps(held.config)) == asdict(network.config)
    with torch.device("meta"):
        back = ModernNetwork(ModernConfig(**held.config))
    tensors = {name: value.clone() for name, value in held.tensors.items()}
    back.load_state_dict(tensors, strict=True, assign=True)
    batch = collate(world[1][:5], InputShapes())
    assert torch.equal(back.eval().outputs(batch).high, network.outputs(batch).high)
    assert back.nearest(world[1][0]) == network.nearest(world[1][0])


@pytest.mark.parametrize("lacking", ["visual", "audio", "frames"])
def test_without_a_feature_it_gets_worse_but_stays_better_than_the_median(trained, world, lacking):
    network, target, _ = trained
    train, later = world
    poorer = [replace(row, **{lacking: None}) for row in later]
    whole, without = (log_mae(network, target, rows) for rows in (later, poorer))
    assert whole < without < median_error(train, later)


def test_a_row_that_says_nothing_of_itself_still_has_a_forecast(trained):
    network, target, _ = trained
    for facts in (NO_FACTS, PostFacts(caption="word1"), PostFacts(hashtags=("never seen",))):
        said = forecasts(network, target, [Example(10_000, facts=facts)])[0]
        assert np.isfinite([said.views_k, said.low_k, said.high_k]).all()


def test_facts_alone_train_and_the_run_says_which_blocks_there_were(tmp_path):
    rows = planted(200)
    poorer = [
        replace(row, facts=replace(row.facts, caption="" if number % 2 else row.facts.caption))
        for number, row in enumerate(rows)
    ]
    network, _, notes = solved(poorer, tmp_path, replace(TINY, epochs=2))
    assert notes["modalities"]["text"] == 0.5
    assert notes["modalities"]["meta"] == 1.0
    assert not {"visual", "audio", "frames", "words"} & set(notes["modalities"])
    assert "small_data" not in notes
    assert notes["rehearsal"]["newest"] == 67
    assert network.block_names[-1] == "neighbours"


def test_rows_of_which_nobody_knows_the_author_or_the_time_train(tmp_path):
    rows = planted(60)
    for unknown in ({"author": None}, {"posted_at": None}):
        poorer = [replace(row, facts=replace(row.facts, **unknown)) for row in rows]
        network, target, notes = solved(poorer, tmp_path)
        assert "author" not in notes["modalities"]
        assert np.isfinite(forecasts(network, target, rows[:1])[0].views_k)


def test_few_rows_get_no_network_and_the_run_says_so(tmp_path):
    network, _, notes = solved(planted(90), tmp_path)
    assert network.config.n_members == 0
    assert notes["small_data"]["rows"] == 90
    assert notes["small_data"]["weights"]["network"] == 0.0


def test_a_handful_of_rows_gives_a_forecast_without_an_interval(tmp_path):
    rows = planted(12)
    network, target, _ = solved(rows, tmp_path)
    said = forecasts(network, target, rows[:1])[0]
    assert np.isfinite(said.views_k)
    assert said.low_k is None


def test_validation_rows_move_the_interval_and_nothing_else(world, tmp_path):
    train, later = world
    told, misled = (
        solved_beside(train, [replace(row, views_k=views_k) for row in later], tmp_path)
        for views_k in (5.0, 500.0)
    )
    assert told.keys() == misled.keys()
    differs = {name for name, value in told.items() if not torch.equal(value, misled[name])}
    assert differs == {"members.offsets"}


def test_the_interval_is_of_validation_rows_from_first_to_last(world, tmp_path, monkeypatch):
    monkeypatch.setattr("model.modern.solve.MOST_VAL", 50)
    monkeypatch.setattr("model.modern.solve.ENOUGH_VAL", 50)
    train, later = world
    notes = {}
    # As if an export of far more seen videos had been imported last.
    val = [*later[:100], *(replace(row, views_k=9e5) for row in later[100:])]
    offsets = solved_beside(train, val, tmp_path, notes=notes)["members.offsets"]
    assert notes["calibration"] == {"val_rows": 50, "rehearsed_rows": 0, "has_interval": True}
    assert offsets[1] > 5


def test_no_row_is_no_training(tmp_path):
    notes = {}
    request = SolveRequest([], [], TargetTransform("log1p"), 0, tmp_path, notes.__setitem__, silent)
    with pytest.raises(NothingToTrain):
        solve_modern(TINY, request)


def test_a_rows_own_label_does_not_come_back_to_it(tmp_path):
    rows = planted(200)
    target = TargetTransform.fit([row.views_k for row in rows], "log1p")
    place = 120
    tables = []
    for views_k in (1.0, 400.0):
        changed = [*rows]
        changed[place] = replace(rows[place], views_k=views_k)
        request = replace(request_for(changed, tmp_path)[0], target=target)
        table = build_table(request, read_ledger(changed, target), TINY, 200, "all")
        with table.rows:
            tables.append(table.rows.read(0, 200))
    own = np.abs(tables[0][place] - tables[1][place])
    others = np.abs(np.delete(tables[0] - tables[1], place, axis=0))
    assert own[-table.blocks[-1].width - len(table.blocks) :].max() == 0.0
    # What is left are the scales of the columns, which every row has a part in.
    assert own.max() < 0.1
    assert others.max() > 0.3


def test_the_nearest_are_other_videos_that_came_before(trained, world):
    network, _, _ = trained
    row = world[0][50]
    found = network.nearest(row)
    assert len(found) == 5
    assert all(one.video_id < row.video_id for one in found)
    assert [one.similarity for one in found] == sorted(
        (one.similarity for one in found), reverse=True
    )


def test_it_stays_where_captions_are(trained, world):
    network, target, _ = trained
    before = forecasts(network, target, world[1][:1])
    assert forecasts(network.to("meta").double(), target, world[1][:1]) == before


def test_the_default_mixture_stays_unless_another_is_clearly_better():
    generator = np.random.default_rng(0)
    actual = generator.normal(size=300)
    noise = generator.normal(size=(300, 3))
    default = np.array([0.0, 0.5, 0.5])
    alike = actual[:, None] + noise[:, :1] + 0.01 * noise
    assert choose_mixture(alike, actual, default, with_network=True).tolist() == [0, 0.5, 0.5]
    clear = actual[:, None] + noise * [0.1, 2.0, 2.0]
    assert choose_mixture(clear, actual, default, with_network=True)[0] == 1.0
    network_best = actual[:, None] + noise * [2.0, 1.0, 0.1]
    assert choose_mixture(network_best, actual, default, with_network=False)[2] in (0.0, 0.5)


@pytest.mark.parametrize(
    "wrong",
    [{"width": 18, "heads": 4}, {"dropout": 1.0}, {"folds": 0}, {"calibration": 0.0}, {"bins": 0}],
)
def test_settings_that_no_model_can_have_are_refused(wrong):
    with pytest.raises(BadSetting):
        ModernConfig(**wrong)
