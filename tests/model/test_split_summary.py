from datetime import UTC, datetime, timedelta

from model.split import Candidate
from model.split_summary import Member, Shared, explain, summarise

START = datetime(2026, 1, 1, tzinfo=UTC)


def member(i: int, part: str, *, author: int | None, day: int, age_d: float) -> Member:
    at = START + timedelta(days=day)
    return Member(Candidate(i, str(i), author, at, at), part, at + timedelta(days=age_d))


def test_a_part_tells_its_dates_the_ages_of_its_labels_and_its_authors():
    found = summarise(
        [
            member(1, "train", author=1, day=0, age_d=1),
            member(2, "train", author=1, day=4, age_d=2),
            member(3, "train", author=None, day=2, age_d=9),
        ]
    )
    train = found.parts["train"]
    assert (train.n, train.n_authors) == (3, 1)
    assert (train.posted_from, train.posted_to) == (START, START + timedelta(days=4))
    ages = (train.label_age_d_min, train.label_age_d_median, train.label_age_d_max)
    assert ages == (1.0, 2.0, 9.0)
    assert train.labels_seen_to == START + timedelta(days=11)
    assert (found.shared, found.n_labels_later, explain(found)) == ((), 0, [])


def test_authors_in_two_parts_are_counted_and_what_that_means_is_said():
    found = summarise(
        [
            member(1, "train", author=1, day=0, age_d=0),
            member(2, "holdout", author=1, day=5, age_d=1),
            member(3, "holdout", author=1, day=5, age_d=1),
            member(4, "holdout", author=2, day=5, age_d=1),
            member(5, "holdout", author=None, day=5, age_d=1),
        ]
    )
    assert found.shared == (Shared("train", "holdout", 1, 2),)
    [said] = explain(found)
    assert said.startswith("2 of 4 holdout videos are by 1 authors who also have videos in train")


def test_no_author_is_shared_by_videos_of_which_nobody_knows_the_author():
    found = summarise(
        [
            member(1, "train", author=None, day=0, age_d=0),
            member(2, "val", author=None, day=5, age_d=0),
        ]
    )
    assert found.shared == (Shared("train", "val", 0, 0),)
    assert explain(found) == ["no known author is in two parts"]


def test_training_labels_seen_after_the_held_out_videos_began_are_counted():
    found = summarise(
        [
            member(1, "train", author=1, day=0, age_d=4),
            member(2, "train", author=2, day=0, age_d=7),
            member(3, "holdout", author=3, day=5, age_d=1),
        ]
    )
    assert found.n_labels_later == 1
    assert any("1 of 2 training labels were seen after" in said for said in explain(found))
