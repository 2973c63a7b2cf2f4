"""The making of a model: what it finds, what may not move it, and from how little it is made."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

from catalog.facts import PastPost, PostFacts
from model.blocks.encoder import MEDIA
from model.blocks.past import Histories
from model.checkpoint import load_checkpoint
from model.errors import NothingToTrain
from model.modern.config import MEMBERS, ModernConfig
from model.modern.members import choose, learn_members
from model.modern.solve import _network, solve_modern
from model.modern.table import DAY_S, add_neighbours, build_table
from model.steps.rows import attached
from model.targets import TargetTransform
from model.training.world import one_thread
from tests.model.planted import planted, with_history
from tests.model.solving import Solving, rebuilt, saved, scored

TINY = ModernConfig(
    trees=40, leaves=8, learning_rate=0.1, text_buckets=512, text_width=12, gram_buckets=2**12
)
QUICK = replace(TINY, trees=8)
ROWS = with_history(planted(500, media=True))
TRAIN, VAL, LATER = ROWS[:340], ROWS[340:400], ROWS[400:]
FACTS = with_history(planted(150))  # no pictures: quick to solve


def solved(train, val=(), config=QUICK, **more):
    solving = Solving(list(train), list(val), **more)
    return solve_modern(config, solving.request()), solving


def labels(rows, train=TRAIN):
    return Solving(list(train)).request().target.apply([row.views_k for row in rows])


def renamed(rows):
    """The same accounts, numbered otherwise, as another salt does it."""
    numbers = np.random.default_rng(8).permutation(100_000)
    return [
        replace(row, facts=replace(row.facts, author=int(numbers[row.facts.author])))
        for row in rows
    ]


@pytest.fixture(scope="module")
def made():
    return solved(TRAIN, VAL, TINY)


@pytest.fixture(scope="module")
def plain():
    return solved(FACTS[:110], FACTS[110:])


def test_it_learns_what_was_planted(made):
    network, _ = made
    wanted = labels(LATER)
    said = scored(network, LATER)["point"]
    median = np.abs(np.median(labels([*TRAIN, *VAL])) - wanted).mean()
    assert np.abs(said - wanted).mean() < 0.75 * median
    assert np.corrcoef(said, wanted)[0, 1] > 0.6


def test_labels_of_others_teach_it_nothing():
    views = np.random.default_rng(1).permutation([row.views_k for row in [*TRAIN, *VAL]])
    rows = [replace(row, views_k=float(v)) for row, v in zip([*TRAIN, *VAL], views, strict=True)]
    network, _ = solved(rows[:340], rows[340:], TINY)
    said = scored(network, LATER)["point"]
    assert abs(np.corrcoef(said, labels(LATER))[0, 1]) < 0.35
    assert (said - network_levels(network)).std() < 0.35


def network_levels(network):
    """The level of their time, which is no forecast of one row, on the target's scale."""
    mean, sd = network.log_scale.tolist()
    return (np.array([row.history[0] for row in LATER]) - mean) / sd


@pytest.mark.parametrize(("members", "lacks"), [("ridge", "n_trees"), ("trees", "n_columns")])
def test_a_model_of_one_member_has_nothing_of_the_others(members, lacks):
    network, solving = solved(FACTS[:110], FACTS[110:], replace(TINY, members=members))
    assert getattr(network.config, lacks) == 0
    weights = solving.notes["stacked"]["weights"]
    assert {name for name, weight in weights.items() if weight} == {members}
    said = scored(network, FACTS[110:])["point"]
    assert np.corrcoef(said, labels(FACTS[110:], FACTS[:110]))[0, 1] > 0.3


def test_the_run_is_told_what_was_found(made):
    _, solving = made
    notes = solving.notes
    assert set(notes) == {"age", "media", "modalities", "rehearsal", "stacked"}
    assert set(notes["media"]) == {"visual", "audio", "frames"}
    assert notes["modalities"]["text"] == 1.0
    assert 0.5 < notes["modalities"]["audio"] < 0.9
    assert notes["rehearsal"]["later"] == 60
    assert set(notes["rehearsal"]["error"]) == {*MEMBERS, "median"}
    assert notes["stacked"]["rows"] == round(340 * TINY.rehearsal) + 60
    assert notes["stacked"]["has_interval"]


@pytest.mark.parametrize("kind", ["raw", "standard", "log1p"])
@pytest.mark.parametrize("views_k", [0.0, 0.5, 1e9])
def test_where_all_got_the_same_so_will_the_next(kind, views_k):
    rows = with_history([replace(row, views_k=views_k) for row in planted(80)])
    target = TargetTransform.fit([row.views_k for row in rows], kind)
    network, solving = solved(rows[:50], rows[50:70], target=target)
    said = target.score(scored(network, rows[70:])["point"])
    assert said == pytest.approx(views_k, rel=1e-6)
    foreseen = target.score(np.array(list(solving.foreseen.values())))
    assert foreseen == pytest.approx(views_k, rel=1e-6)


def test_what_was_said_of_validation_rows_before_they_taught_is_told(made):
    network, solving = made
    assert set(solving.foreseen) == {row.video_id for row in VAL}
    before = np.array([solving.foreseen[row.video_id] for row in VAL])
    after = scored(network, VAL)["point"]
    wanted = labels(VAL)
    assert np.abs(before - wanted).mean() > np.abs(after - wanted).mean()  # then they taught
    assert np.corrcoef(before, wanted)[0, 1] > 0.4


def louder(rows, times):
    return [replace(row, views_k=row.views_k * times, history=None) for row in rows]


def test_what_was_said_before_stands_at_the_level_of_its_time():
    """The catalog rises twentyfold, and histories say so."""
    rows = planted(200)
    risen = with_history([*rows[:70], *louder(rows[70:], 20)])
    _, solving = solved(risen[:150], risen[150:])
    wanted = labels(risen[150:], risen[:150])
    before = np.array([solving.foreseen[row.video_id] for row in risen[150:]])
    assert wanted.mean() > 0.5
    assert before.mean() == pytest.approx(wanted.mean(), abs=0.2)


def test_validation_rows_teach_it():
    """What only rows of val show: a hashtag that does well."""
    val = [
        replace(
            row,
            facts=replace(row.facts, hashtags=("only",) if number % 2 else ("other",)),
            views_k=row.views_k * (30 if number % 2 else 1),
        )
        for number, row in enumerate(FACTS[90:])
    ]
    network, _ = solved(FACTS[:90], val)
    tagged, plain = (
        [replace(row, facts=replace(row.facts, hashtags=tags)) for row in LATER[:20]]
        for tags in (("only",), ("other",))
    )
    gain = scored(network, tagged)["point"] - scored(network, plain)["point"]
    assert gain.mean() > 0.5


def test_the_newest_rows_are_rehearsed_by_the_older_ones():
    rows = [*louder(FACTS[:90], 1), *louder(FACTS[90:], 30)]
    _, solving = solved(rows)
    assert solving.notes["rehearsal"]["rows"] == 90
    assert solving.notes["stacked"]["shift"] > 0.3
    _, solving = solved([*louder(FACTS[:90], 30), *louder(FACTS[90:], 1)])
    assert solving.notes["stacked"]["shift"] < -0.3


def test_the_same_rows_and_seed_make_the_same_file_with_one_thread_and_two(plain, tmp_path):
    before = torch.get_num_threads()
    files = {saved(tmp_path / "first", plain[0], FACTS[:110])}
    seen = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            with threadpool_limits(threads):
                request = replace(
                    Solving(FACTS[:110], FACTS[110:]).request(),
                    progress=lambda _text: seen.append(torch.get_num_threads()),
                )
                network = solve_modern(QUICK, request)
            files.add(saved(tmp_path / f"with {threads}", network, FACTS[:110]))
    finally:
        torch.set_num_threads(before)
    assert len(files) == 1
    assert set(seen) == {1}
    other, _ = solved(FACTS[:110], FACTS[110:], seed=1)
    assert saved(tmp_path / "seed", other, FACTS[:110]) not in files


def test_other_numbers_of_the_same_accounts_make_the_same_file(plain, tmp_path):
    others = renamed(FACTS)
    network, _ = solved(others[:110], others[110:])
    assert saved(tmp_path / "a", network, FACTS[:110]) == saved(
        tmp_path / "b", plain[0], FACTS[:110]
    )
    for name, value in scored(network, others).items():
        assert np.array_equal(value, scored(plain[0], FACTS)[name])


def test_a_file_read_back_is_the_same_model(made, tmp_path):
    network, _ = made
    saved(tmp_path / "model", network, TRAIN)
    back = load_checkpoint(tmp_path / "model").network
    for other in (back, rebuilt(network)):
        assert other.config == network.config
        for name, value in scored(network, LATER[:20]).items():
            assert np.array_equal(value, scored(other, LATER[:20])[name])
        assert other.nearest(LATER[0]) == network.nearest(LATER[0])


def test_what_is_said_in_rehearsal_is_what_the_finished_model_says():
    """The members as they learned, and the same ones read from a network's tensors."""
    solving = Solving(FACTS[:110], FACTS[110:])
    with one_thread():
        table = add_neighbours(build_table(solving.request(), QUICK), QUICK)
        choices = replace(choose(table, ~table.is_val, QUICK, 0), n_trees=8)
        learned, said, bare = learn_members(
            table, ~table.is_val, QUICK, choices, 0, ask=table.is_val
        )
        network = _network(QUICK, table, learned, ())
    strangers = [without_author(row) for row in FACTS[110:]]
    for at, name in enumerate(MEMBERS):
        network.weights.copy_(torch.eye(len(MEMBERS))[at])
        for rows, wanted in ((FACTS[110:], said), (strangers, bare)):
            point = scored(network, rows)["point"] - table.level[table.is_val]
            np.testing.assert_allclose(point, wanted[:, at], atol=2e-4, err_msg=name)


def without_author(row):
    history = np.array(row.history)
    history[2:10] = np.nan
    return replace(row, history=history)


@pytest.mark.parametrize("n", [1, 2, 5, 50])
def test_few_rows_make_a_model(n):
    network, solving = solved(ROWS[:n])
    said = scored(network, LATER[:5])
    assert np.isfinite(said["point"]).all()
    if n <= 5:
        assert set(said) == {"point"}
        assert solving.notes["stacked"]["rows"] == 0
        assert solving.notes["stacked"]["weights"] == {
            "ridge": 0.5,
            "trees": 0.5,
            "grams": 0,
            "past": 0,
        }
        assert solving.foreseen == {}


def bare_of_history(row):
    return replace(row, history=None)


def bare_of_text(row):
    return replace(row, facts=replace(row.facts, caption="", hashtags=()))


def of_one_author(row):
    return replace(row, facts=replace(row.facts, author=3))


def of_nobody(row):
    return replace(row, facts=replace(row.facts, author=None))


def without_time(row):
    return replace(row, facts=replace(row.facts, posted_at=None), history=None)


def of_features_alone(row):
    return replace(row, facts=PostFacts(), history=None)


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        (bare_of_history, {"level", "author"}),
        (bare_of_text, {"text", "tags"}),
        (of_one_author, set()),
        (of_nobody, set()),
        (without_time, {"author"}),
        (of_features_alone, {"form", "meta", "text", "tags", "author"}),
    ],
)
def test_whatever_rows_lack_a_model_is_made(change, missing):
    rows = [change(row) for row in ROWS[:200]]
    network, solving = solved(rows[:150], rows[150:])
    assert not missing & set(solving.notes["modalities"])
    said = scored(network, [change(row) for row in LATER[:20]])
    assert set(said) == {"point", "low", "high"}
    assert all(np.isfinite(value).all() for value in said.values())


@pytest.mark.parametrize("kind", ["raw", "standard"])
def test_a_target_that_is_no_log_works_without_a_level(kind):
    target = TargetTransform.fit([row.views_k for row in FACTS[:110]], kind)
    network, solving = solved(FACTS[:110], FACTS[110:], target=target)
    assert network.log_scale.tolist() == [0, 0]
    said = scored(network, FACTS[110:])
    wanted = target.apply([row.views_k for row in FACTS[110:]])
    assert np.corrcoef(said["point"], wanted)[0, 1] > 0.2
    assert (said["low"] <= said["point"]).all()
    before = np.array([solving.foreseen[row.video_id] for row in FACTS[110:]])
    assert np.abs(before - wanted).mean() < 1.5 * np.abs(np.median(wanted) - wanted).mean()


def test_without_validation_rows_it_rehearses_on_the_newest_of_train():
    network, solving = solved(FACTS)
    assert solving.foreseen == {}
    assert solving.notes["rehearsal"]["later"] == solving.notes["stacked"]["rows"] == 60
    assert network.config.has_interval


def test_features_that_do_not_earn_their_place_are_not_read():
    draw = np.random.default_rng(0)
    rows = [replace(row, frames=draw.normal(size=12).astype(np.float32)) for row in FACTS]
    network, solving = solved(rows[:110], rows[110:], replace(QUICK, media_gain=50.0))
    assert not solving.notes["media"]["frames"]["kept"]
    assert network.config.kept == ""
    assert not set(MEDIA) & set(network.block_names)
    moved = [replace(row, frames=None) for row in rows]
    assert np.array_equal(scored(network, rows)["point"], scored(network, moved)["point"])
    assert np.array_equal(scored(rebuilt(network), rows)["point"], scored(network, rows)["point"])


def test_features_that_earn_it_are_named(made):
    network, solving = made
    kept = [name for name, one in solving.notes["media"].items() if one["kept"]]
    assert kept
    assert set(network.config.kept.split(",")) == set(kept) == set(MEDIA) & set(network.block_names)


def test_no_rows_are_no_training():
    with pytest.raises(NothingToTrain):
        solve_modern(QUICK, replace(Solving(FACTS).request(), train=[], val=[]))


def past_of(rows, **moved):
    """The rows as posts of the past, known a day later; some with other counts, by video id."""
    return [
        PastPost(
            row.video_id,
            row.facts.author,
            row.facts.sound,
            row.facts.hashtags,
            row.facts.posted_at,
            row.facts.posted_at.fromtimestamp(
                row.facts.posted_at.timestamp() + DAY_S, tz=row.facts.posted_at.tzinfo
            ),
            moved.get(f"v{row.video_id}", row.views_k),
        )
        for row in rows
    ]


def test_what_came_after_a_row_moves_nothing_of_its_forecast(plain):
    """By histories: the counts of all that was known when it was posted or later."""
    network, _ = plain
    row = FACTS[120]
    later = {
        f"v{one.video_id}": 1e6
        for one in FACTS
        if one.facts.posted_at.timestamp() + DAY_S >= row.facts.posted_at.timestamp()
    }
    assert 20 < len(later) < 140
    told = attached([row], Histories(past_of(FACTS)))
    moved = attached([row], Histories(past_of(FACTS, **later)))
    for name, value in scored(network, told).items():
        assert np.array_equal(value, scored(network, moved)[name])
    earlier = {f"v{one.video_id}": 1e6 for one in FACTS[:60]}
    heard = attached([row], Histories(past_of(FACTS, **earlier)))
    assert not np.array_equal(scored(network, told)["point"], scored(network, heard)["point"])


def test_histories_say_from_when_a_count_may_be_known():
    """Of rows whose counts nobody ever knew there are no neighbours."""
    unknown = Histories(past_of(FACTS[:30]))
    network, _ = solved(FACTS[:110], FACTS[110:], histories=unknown)
    assert network.config.n_store == 30
    plain, _ = solved(FACTS[:110], FACTS[110:], histories=Histories(past_of(FACTS)))
    assert plain.config.n_store == 150
