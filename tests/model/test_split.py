from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.ages import Label
from catalog.facts import Candidate, LabelAtAge, Member, Observed, uploaded_at
from model.split import Shared, SplitConfig, assign_parts, explain, label_place, summarise

START = datetime(2026, 1, 1, tzinfo=UTC)


def member(i: int, part: str, *, author: int | None, day: int, age_d: float) -> Member:
    at = START + timedelta(days=day)
    label = Observed(i, at + timedelta(days=age_d), 1.0)
    return Member(Candidate(i, str(i), author, at, at), part, label)


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


def candidates(n: int, *, authors: int = 7) -> list[Candidate]:
    return [
        Candidate(
            video_id=i,
            tiktok_id=str((int((START + timedelta(hours=i)).timestamp()) << 32) + i),
            author_id=None if i % 11 == 0 else i % authors,
            posted_at=START + timedelta(hours=i),
            first_seen_at=START + timedelta(days=90),
        )
        for i in range(n)
    ]


def test_the_time_split_holds_out_the_newest():
    rows = candidates(72)
    parts = assign_parts(rows, SplitConfig())
    assert Counter(parts.values()) == {"train": 50, "val": 11, "holdout": 11}
    assert [parts[row.video_id] for row in rows] == ["train"] * 50 + ["val"] * 11 + ["holdout"] * 11


def test_the_paper_split_is_800_200_100_in_order_of_id():
    rows = candidates(1100)
    parts = assign_parts(list(reversed(rows)), SplitConfig(strategy="paper"))
    assert Counter(parts.values()) == {"train": 800, "val": 200, "holdout": 100}
    assert [parts[i] for i in (0, 799, 800, 999, 1000)] == [
        "train",
        "train",
        "val",
        "val",
        "holdout",
    ]


def test_the_paper_split_orders_ids_as_numbers():
    rows = [
        Candidate(i, tiktok_id, None, None, START) for i, tiktok_id in enumerate(["9", "10", "100"])
    ]
    assert assign_parts(rows, SplitConfig(strategy="paper"))[2] != "train"


def test_no_author_is_in_two_parts():
    rows = candidates(200, authors=20)
    parts = assign_parts(rows, SplitConfig(strategy="author", val=0.3, holdout=0.3))
    of_author: dict[int, set[str]] = {}
    for row in rows:
        if row.author_id is not None:
            of_author.setdefault(row.author_id, set()).add(parts[row.video_id])
    assert all(len(found) == 1 for found in of_author.values())
    assert set(parts.values()) == {"train", "val", "holdout"}


@given(st.integers(0, 60), st.integers(0, 60), st.sampled_from(["hash", "author"]))
def test_a_video_keeps_its_part_when_others_are_added(n, more, strategy):
    config = SplitConfig(strategy=strategy)
    before = assign_parts(candidates(n), config)
    after = assign_parts(candidates(n + more), config)
    assert before.items() <= after.items()


@given(st.permutations(range(20)))
def test_the_ids_that_authors_happen_to_have_decide_nothing(ids):
    rows = candidates(120, authors=20)
    others = [
        replace(row, author_id=None if row.author_id is None else 500 + ids[row.author_id])
        for row in rows
    ]
    config = SplitConfig(strategy="author", val=0.3, holdout=0.3)
    assert assign_parts(others, config) == assign_parts(rows, config)


def test_an_author_stays_where_they_are_when_their_first_video_is_no_candidate():
    rows, config = candidates(60), SplitConfig(strategy="author", val=0.3, holdout=0.3)
    first = {row.author_id: row.tiktok_id for row in reversed(rows) if row.author_id is not None}
    whole = assign_parts(rows, config, first_videos=first)
    assert assign_parts(rows[20:], config, first_videos=first).items() <= whole.items()
    assert whole == assign_parts(rows, config)


@given(
    st.permutations(candidates(30)),
    st.sampled_from(["time", "author", "hash", "paper"]),
)
def test_the_order_of_the_candidates_decides_nothing(shuffled, strategy):
    config = SplitConfig(strategy=strategy)
    assert assign_parts(shuffled, config) == assign_parts(candidates(30), config)


def test_another_seed_is_another_draw():
    rows = candidates(100)
    drawn = [assign_parts(rows, SplitConfig(strategy="hash", seed=seed)) for seed in (0, 1)]
    assert drawn[0] != drawn[1]


@pytest.mark.parametrize("n", [3, 4, 5])
def test_three_videos_are_enough_for_three_parts(n):
    parts = assign_parts(candidates(n), SplitConfig())
    assert set(parts.values()) == {"train", "val", "holdout"}


def test_no_candidate_has_no_part():
    assert assign_parts([], SplitConfig()) == {}


@pytest.mark.parametrize(
    "settings", [{"val": -0.1}, {"val": 0.5, "holdout": 0.5}, {"strategy": "random"}]
)
def test_refuses_a_split_that_cannot_be(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        SplitConfig(**settings)


# --- what must not cross parts

ages = st.floats(0, 30 * 86_400)
seen_after_h = st.lists(st.integers(0, 2_000), max_size=6, unique=True).map(sorted)
posts = st.lists(
    st.tuples(st.none() | st.integers(1, 5), st.integers(0, 5_000), st.booleans()),
    min_size=1,
    max_size=60,
)


def posted(rows) -> list[Candidate]:
    """Videos of (author, hours after START, whether the page told the time)."""
    return [
        Candidate(
            video_id=i,
            tiktok_id=str((int((START + timedelta(hours=hours)).timestamp()) << 32) + i),
            author_id=author,
            posted_at=START + timedelta(hours=hours) if is_told else None,
            first_seen_at=START + timedelta(hours=hours + 5),
        )
        for i, (author, hours, is_told) in enumerate(rows)
    ]


@given(
    posts,
    st.sampled_from(["time", "author", "hash", "paper"]),
    st.floats(0, 0.45),
    st.floats(0, 0.45),
    st.integers(0, 3),
)
def test_every_video_has_exactly_one_part_and_no_author_crosses_where_that_is_promised(
    rows, strategy, val, holdout, seed
):
    videos = posted(rows)
    config = SplitConfig(strategy=strategy, val=val, holdout=holdout, seed=seed)
    parts = assign_parts(videos, config)
    assert parts.keys() == {video.video_id for video in videos}
    if strategy == "author":
        of_author: dict[int, set[str]] = {}
        for video in videos:
            if video.author_id is not None:
                of_author.setdefault(video.author_id, set()).add(parts[video.video_id])
        assert all(len(found) == 1 for found in of_author.values())


@given(posts.filter(lambda rows: len(rows) >= 3))
def test_the_time_split_never_trains_on_what_was_posted_after_a_held_out_video(rows):
    videos = posted(rows)
    parts = assign_parts(videos, SplitConfig())
    at = {
        part: [uploaded_at(video) for video in videos if parts[video.video_id] == part]
        for part in ("train", "val", "holdout")
    }
    for earlier, later in (("train", "val"), ("train", "holdout"), ("val", "holdout")):
        assert max(at[earlier]) <= min(at[later])


@given(posts.map(lambda rows: rows[:1]), seen_after_h, ages)
def test_a_label_is_the_first_count_that_is_old_enough_and_none_is_better_than_a_later_guess(
    rows, hours, label_age_s
):
    [video] = posted(rows)
    seen_at = [uploaded_at(video) + timedelta(hours=h) for h in hours]
    place = label_place(video, seen_at, label_age_s)
    if place is None:
        assert all(3600 * h < label_age_s for h in hours)
    else:
        assert 3600 * hours[place] >= label_age_s
        assert all(3600 * h < label_age_s for h in hours[:place])


def test_what_could_be_said_before_labels_had_names_is_stored_as_it_was():
    # The hashes of splits that are there already hang on it.
    plain = {"strategy": "time", "val": 0.15, "holdout": 0.15, "seed": 0}
    assert SplitConfig().to_json() == plain
    assert SplitConfig(label="from:1m").to_json() == plain | {"label_age_s": 60.0}
    assert SplitConfig(label="at:168h").to_json() == plain | {"label": "at:7d"}


@pytest.mark.parametrize("label", ["", "at", "at:", "at:0s", "at:7", "newest", "from:1y"])
def test_what_is_no_label_is_refused(label):
    with pytest.raises(ValueError, match=r"is no label|no length of time|age of nothing"):
        SplitConfig(label=label)


def test_labels_of_unequal_age_are_told_and_equal_ones_are_not():
    unequal = summarise(member(i, "train", author=i, day=0, age_d=1 + i) for i in range(20))
    assert (unequal.label_age_d_10, unequal.label_age_d_90) == (3.0, 18.0)
    assert unequal.is_unequal
    [said] = explain(replace(unequal, n_equal=11))
    assert "--label at:7d" in said
    assert "11 videos" in said
    assert not summarise(member(i, "train", author=i, day=i, age_d=4) for i in range(20)).is_unequal
    # Of videos whose time nobody knows all ages are 0, which says nothing.
    nobody = [
        replace(one, video=replace(one.video, posted_at=None, first_seen_at=one.label.observed_at))
        for one in (member(i, "train", author=i, day=0, age_d=1 + i) for i in range(20))
    ]
    assert summarise(nobody).label_age_d_90 is None
    assert not summarise(nobody).is_unequal


def test_a_label_at_an_age_is_of_that_age_and_known_from_its_second_count_on():
    one = member(1, "train", author=1, day=0, age_d=6)
    seen_at = one.label.observed_at + timedelta(days=3)
    aged = replace(one, at_age=LabelAtAge(1.0, 2.0, 9, seen_at))
    part = summarise([aged], Label("at", 7 * 86_400)).parts["train"]
    assert (part.label_age_d_min, part.label_age_d_max, part.labels_seen_to) == (7.0, 7.0, seen_at)


@pytest.mark.parametrize(("n", "parts"), [(2, ["train"] * 2), (3, ["train", "val", "holdout"])])
def test_each_part_has_a_row_where_there_are_three(n, parts):
    rows = candidates(n)
    found = assign_parts(rows, SplitConfig(val=0.05, holdout=0.05))
    assert [found[row.video_id] for row in rows] == parts


def test_a_part_that_is_not_wanted_is_empty():
    found = assign_parts(candidates(30), SplitConfig(val=0.0, holdout=0.2))
    assert set(found.values()) == {"train", "holdout"}
