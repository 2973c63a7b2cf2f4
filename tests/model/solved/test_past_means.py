from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from catalog.facts import PastPost, PostFacts
from model.batches import Example
from model.blocks.past import Asked, Histories
from model.errors import BadCheckpoint, IncompatibleFeatures, NothingToTrain
from model.forecast.ablation import ablate
from model.registry import KINDS
from model.solved.past_means import AuthorMean, AuthorRecent, HashtagMean, PastMeanConfig
from model.targets import TARGET_KINDS, TargetTransform
from tests.model.rows import START
from tests.model.solving import Solving, rebuilt, scored

MEANS = (AuthorMean, AuthorRecent, HashtagMean)
TAGS = {1: ("low", "fyp"), 2: ("high", "fyp")}


def past(number: int, *, author: int, days: float, views_k: float) -> PastPost:
    at = START + timedelta(days=days)
    tags = TAGS.get(author, ())
    return PastPost(number, author, None, tags, at, at + timedelta(days=1), views_k)


# Author 1 gets a thousandth of what author 2 gets; both have posted every two days.
PAST = [
    past(100 * author + i, author=author, days=2 * i, views_k=0.2 * 1000 ** (author - 1))
    for author in (1, 2)
    for i in range(30)
]


def post(author: int | None, *, days: float = 100, views_k: float = 5.0, known=PAST) -> Example:
    """By that author, with one of their tags."""
    tags = TAGS.get(author or 0, ())[:1]
    facts = PostFacts(author=author, posted_at=START + timedelta(days=days), hashtags=tags)
    asked = Asked(facts.author, None, tags, facts.posted_at)
    return Example(9, views_k=views_k, facts=facts, history=Histories(known).columns([asked])[0])


TRAIN = [replace(post(1), video_id=i, views_k=float(i)) for i in range(1, 11)]
VIEWS = [row.views_k for row in TRAIN]


def solved(train=TRAIN, kind="log1p", of=AuthorRecent):
    request = replace(Solving(list(train)).request(), target=TargetTransform.fit(VIEWS, kind))
    return of.solved(PastMeanConfig(), request)


def said_k(row, kind="log1p", of=AuthorRecent) -> float:
    point = scored(solved(kind=kind, of=of), [row])["point"]
    return float(TargetTransform.fit(VIEWS, kind).invert(point)[0])


@pytest.mark.parametrize("kind", TARGET_KINDS)
@pytest.mark.parametrize("of", MEANS)
def test_a_post_gets_what_such_posts_got_a_little_shrunk(of, kind):
    low, unknown, high = (said_k(post(author), kind, of) for author in (1, None, 2))
    assert 0.2 < low < 0.5
    assert 0.5 < unknown < 100
    assert 100 < high < 200


def test_the_newest_posts_count_most_in_one_mean_and_as_much_in_the_other():
    risen = [past(i, author=5, days=i, views_k=1.0 if i < 60 else 100.0) for i in range(80)]
    plain, recent = (said_k(post(5, known=[*PAST, *risen]), of=of) for of in MEANS[:2])
    assert 2 * plain < recent < 100


def test_a_post_without_a_known_tag_gets_what_all_get():
    tagless = replace(post(2), facts=PostFacts(author=2))
    asked = Asked(2, None, ("never",), post(2).facts.posted_at)
    history = Histories(PAST).columns([asked])[0]
    assert said_k(replace(tagless, history=history), of=HashtagMean) == pytest.approx(
        said_k(post(None), of=HashtagMean)
    )


@pytest.mark.parametrize("of", MEANS[:2])
def test_an_author_nobody_knows_gets_what_all_get(of):
    assert said_k(post(77), of=of) == pytest.approx(said_k(post(None), of=of))


@pytest.mark.parametrize("of", MEANS[:2])
def test_an_author_unknown_in_training_gets_the_mean_of_what_was_seen_since(of):
    since = [past(900 + i, author=77, days=70 + i, views_k=3000.0) for i in range(20)]
    assert said_k(post(77, known=[*PAST, *since]), of=of) > 1000 > 100 * said_k(post(1), of=of)
    # And what comes after the post tells nothing of it.
    later = [past(900 + i, author=77, days=100 + i, views_k=3000.0) for i in range(20)]
    assert said_k(post(77, known=[*PAST, *later]), of=of) == said_k(post(77), of=of)


@pytest.mark.parametrize("of", MEANS)
def test_nothing_is_known_before_the_first_post(of):
    bare = replace(post(2), history=None)
    assert said_k(post(2, days=0.5), of=of) == pytest.approx(said_k(bare, of=of))
    (mean,) = scored(solved(of=of), [bare])["point"]
    assert mean == pytest.approx(0, abs=1e-12)  # on a standardised scale


@pytest.mark.parametrize("of", MEANS)
def test_it_is_a_model_of_config_and_tensors(of):
    network, rows = solved(of=of), [post(1), post(2), post(None)]
    assert np.array_equal(scored(rebuilt(network), rows)["point"], scored(network, rows)["point"])
    assert scored(network, rows)["point"].std() > 0


@pytest.mark.parametrize("of", MEANS)
def test_what_moved_a_forecast_is_what_earlier_posts_got(of):
    network, target = solved(of=of), TargetTransform.fit(VIEWS, "log1p")
    moves = {one.modality: one.factor for one in ablate(network, post(1), target)}
    assert set(moves) == {of.block, "level"}
    assert moves[of.block] < 0.2


def test_a_history_of_other_columns_is_refused():
    with pytest.raises(IncompatibleFeatures):
        scored(solved(), [replace(post(1), history=np.zeros(3))])


@pytest.mark.parametrize("of", MEANS)
def test_no_rows_are_refused(of):
    for train in ([], [replace(TRAIN[0], views_k=None)]):
        with pytest.raises(NothingToTrain):
            solved(train, of=of)


@pytest.mark.parametrize(
    ("kind", "learned"), [("author_mean", "n_history"), ("hashtag_mean", "n_tags")]
)
def test_one_of_before_the_histories_is_told_as_such(kind, learned):
    with pytest.raises(BadCheckpoint, match=f"the {kind} model has {learned}, has prior, lacks hi"):
        KINDS[kind].config_from_json({learned: 3, "prior": 3.0})
