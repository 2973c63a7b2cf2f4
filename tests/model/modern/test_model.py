"""A finished model: what it says of a row, whatever stands beside it or is missing."""

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

from catalog.facts import PostFacts
from model.batches import NO_FACTS, Example, InputShapes, collate
from model.blocks.past import COLUMNS
from model.modern.config import ModernConfig
from model.modern.solve import solve_modern
from tests.model.planted import planted, with_history
from tests.model.solving import Solving, scored

CONFIG = ModernConfig(
    trees=40, leaves=8, learning_rate=0.1, text_buckets=512, text_width=12, gram_buckets=2**12
)
ROWS = with_history(planted(700, media=True))
TRAIN, VAL, LATER = ROWS[:420], ROWS[420:500], ROWS[500:]
TARGET = Solving(TRAIN).request().target


@pytest.fixture(scope="module")
def network():
    return solve_modern(CONFIG, Solving(TRAIN, VAL).request())


@contextmanager
def restored(network):
    """A block that may change the network's tensors; afterwards they are as they were."""
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    try:
        yield
    finally:
        network.load_state_dict(before)


def wanted(rows):
    return TARGET.apply([row.views_k for row in rows])


def error(network, rows):
    return np.abs(scored(network, rows)["point"] - wanted(rows)).mean()


def test_its_interval_holds_its_point_and_most_of_what_came(network):
    said = scored(network, LATER)
    assert (said["low"] <= said["point"]).all()
    assert (said["point"] <= said["high"]).all()
    inside = (said["low"] <= wanted(LATER)) & (wanted(LATER) <= said["high"])
    assert 0.7 < inside.mean() < 0.92


def test_a_score_does_not_depend_on_its_batch(network):
    rows = LATER[:30]
    together = network.outputs(collate(rows, InputShapes()))
    backwards = network.outputs(collate(rows[::-1], InputShapes()))
    for name, alone in scored(network, rows).items():
        assert np.array_equal(getattr(together, name).numpy(), alone)
        assert np.array_equal(getattr(backwards, name).numpy()[::-1], alone)
    assert torch.equal(network(collate(rows, InputShapes())), together.point)


def test_a_score_does_not_depend_on_threads(network):
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            with threadpool_limits(threads):
                found.append(scored(network, LATER[:30])["point"])
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(*found)


def test_encoded_rows_are_forecast_as_the_rows_themselves(network):
    encoded = network.encode_rows(LATER[:20])
    assert tuple(encoded.values) == network.block_names
    said = scored(network, LATER[:20])["point"]
    np.testing.assert_allclose(network.forecast_encoded(encoded), said, atol=1e-5)


@pytest.mark.parametrize("lacking", ["visual", "audio", "frames", "history"])
def test_without_an_input_it_gets_worse_but_stays_better_than_the_median(network, lacking):
    poorer = [replace(row, **{lacking: None}) for row in LATER]
    median = np.abs(np.median(wanted(TRAIN)) - wanted(LATER)).mean()
    assert error(network, LATER) < error(network, poorer) < median


def test_a_row_that_says_nothing_of_itself_still_has_a_forecast(network):
    for facts in (NO_FACTS, PostFacts(caption="word1"), PostFacts(hashtags=("never seen",))):
        said = scored(network, [Example(10_000, facts=facts)])
        assert np.isfinite([said["low"], said["point"], said["high"]]).all()
        assert said["low"] < said["point"] < said["high"]


def test_a_forecast_moves_with_the_level_of_the_catalog(network):
    """What the members say stands beside it."""
    at = COLUMNS.index("level level")
    higher = []
    for row in LATER[:20]:
        history = np.array(row.history)
        history[at] += 0.2  # within what training has seen
        higher.append(replace(row, history=history))
    with restored(network):
        network.weights.zero_()
        moved = scored(network, higher)["point"] - scored(network, LATER[:20])["point"]
    assert moved * TARGET.sd == pytest.approx(0.2, abs=1e-5)


def test_a_shift_moves_every_forecast_with_its_ends(network):
    before = scored(network, LATER[:5])
    with restored(network):
        network.shift.add_(1.0)
        after = scored(network, LATER[:5])
    for name, value in before.items():
        assert after[name] - value == pytest.approx(1.0)


def test_the_interval_is_that_of_how_well_the_author_is_known(network):
    at = slice(COLUMNS.index("author mean"), COLUMNS.index("author log_posts_30_days") + 1)
    n_posts = COLUMNS.index("author log_posts")
    known = next(row for row in LATER if np.expm1(row.history[n_posts]) > 5)
    stranger, new = np.array(known.history), np.array(known.history)
    stranger[at], new[n_posts] = np.nan, np.log1p(2)
    rows = [replace(known, history=history) for history in (stranger, new, known.history)]
    with restored(network):
        network.offsets.copy_(torch.tensor([[-3.0, 3.0], [-2.0, 2.0], [-1.0, 1.0]]))
        said = scored(network, rows)
    assert said["high"] - said["low"] == pytest.approx([6, 4, 2])


def test_a_rows_own_label_is_never_read(network):
    moved = [replace(row, views_k=1e9) for row in LATER[:20]]
    assert np.array_equal(scored(network, moved)["point"], scored(network, LATER[:20])["point"])


def test_counts_that_were_not_known_yet_say_nothing_of_an_older_row(network):
    """A training row is scored as if only older counts were in the store."""
    row = TRAIN[200]
    before = scored(network, [row])["point"]
    store = network.neighbours
    later = store.known >= row.facts.posted_at.timestamp()
    assert bool(later.any())
    assert not bool(later.all())
    with restored(network):
        store.actual[later] = 99.0
        assert np.array_equal(scored(network, [row])["point"], before)
        store.actual.fill_(99.0)
        assert not np.array_equal(scored(network, [row])["point"], before)


def test_the_nearest_are_other_videos_that_came_before(network):
    row = TRAIN[200]
    found = network.nearest(row)
    assert len(found) == 5
    assert all(one.video_id < row.video_id for one in found)
    alike = [one.similarity for one in found]
    assert alike == sorted(alike, reverse=True)
    assert network.nearest(row, 2) == found[:2]


def test_it_stays_where_captions_are(network):
    before = scored(network, LATER[:1])
    after = scored(network.to("meta").double(), LATER[:1])
    assert before == after
