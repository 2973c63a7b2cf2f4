"""What is there to do: the named questions of the steps."""

from datetime import timedelta

import pytest
from sqlalchemy import delete, text

from catalog.errors import BadValue, NotFound
from catalog.facts import PredictionFacts
from catalog.read import posts
from catalog.read.lookup import (
    find_feature_set,
    find_model,
    find_model_by_inputs,
    find_split,
    model_feature_sets,
)
from catalog.read.pending import (
    accounts_to_list,
    clip_refs,
    hashtags_to_list,
    sounds_to_list,
    split_rows,
    videos_to_score,
    videos_to_split,
)
from catalog.record.accounts import (
    mark_account_listed,
    mark_sound_listed,
    want_accounts,
    want_sounds,
)
from catalog.record.hashtags import add_topics, mark_listed
from catalog.record.lineage import set_alias, store_predictions
from catalog.record.sightings import mark_gone, store_sightings
from catalog.schema.session import Catalog
from catalog.schema.tables import Feature
from catalog.work.claims import Failed, NothingThere, claim_features, enrol_features, finish_feature
from catalog.work.runs import record_run
from tests.catalog.factories import (
    SHA,
    T0,
    add_feature_set,
    add_features,
    add_media,
    add_model,
    add_split,
    add_videos,
    feature_done,
    seen,
    video_facts,
)

LATER = T0 + timedelta(days=1)


def names(todo) -> list[str]:
    return [hashtag.name for hashtag in todo]


def ask(catalog: Catalog, question, **options):
    with catalog.read() as session:
        return list(question(session, **options))


def test_hashtags_of_topics_and_by_name_are_listed(catalog):
    with catalog.write() as session:
        add_topics(session, {"Dance": ["dance", "tango"], "Sports": ["golf", "dance"]})
    add_videos(catalog, 1)
    everything = {"topics": None, "hashtags": None, "listed_before": None}

    assert names(ask(catalog, hashtags_to_list, **everything)) == ["dance", "golf", "tango"]
    some = ask(catalog, hashtags_to_list, **{**everything, "topics": ["Sports"]})
    assert [(todo.name, todo.topics) for todo in some] == [
        ("dance", ("Dance", "Sports")),
        ("golf", ("Sports",)),
    ]
    named = ask(catalog, hashtags_to_list, **{**everything, "hashtags": ["#Golf", "brandnew"]})
    assert [(todo.name, todo.topics) for todo in named] == [
        ("brandnew", ()),
        ("golf", ("Sports",)),
    ]


def test_a_hashtag_seen_only_in_a_caption_is_not_listed(catalog):
    with catalog.write() as session:
        add_topics(session, {"Sports": ["golf"]})
    add_videos(catalog, 1)  # its caption says #dance
    assert names(
        ask(catalog, hashtags_to_list, topics=None, hashtags=None, listed_before=None)
    ) == ["golf"]


def test_what_was_listed_lately_is_left_out(catalog):
    with catalog.write() as session:
        add_topics(session, {"Dance": ["dance", "tango"]})
        mark_listed(session, "dance", T0)
    for cutoff, expected in ((T0, ["tango"]), (T0 + timedelta(seconds=1), ["dance", "tango"])):
        todo = ask(catalog, hashtags_to_list, topics=None, hashtags=None, listed_before=cutoff)
        assert names(todo) == expected


def test_an_unknown_topic_is_refused_with_those_there_are(catalog):
    with catalog.write() as session:
        add_topics(session, {"Dance": ["dance"]})
    with pytest.raises(NotFound, match=r"Danse.*there are: Dance"):
        ask(catalog, hashtags_to_list, topics=["Danse"], hashtags=None, listed_before=None)
    with pytest.raises(BadValue):
        ask(catalog, hashtags_to_list, topics=None, hashtags=["#"], listed_before=None)


def test_only_videos_that_are_there_and_readable_are_split(catalog):
    ids = add_videos(catalog, 4)
    with catalog.write() as session:
        mark_gone(session, ids[0], T0, "deleted")
        store_sightings(session, [(video_facts("99"), seen(None))], run_id=None, found_by=None)
    candidates = ask(catalog, videos_to_split)
    assert [video.video_id for video, _label in candidates] == ids[1:]
    first, label = candidates[0]
    assert first.tiktok_id == "7300000000000000002"
    assert first.posted_at == T0 - timedelta(days=3)
    assert first.author_id is not None
    assert (label.observed_at, label.views_k) == (T0, 20.0)


def test_a_long_catalog_is_read_page_by_page(catalog, monkeypatch):
    monkeypatch.setattr(posts, "PAGE", 3)
    ids = add_videos(catalog, 10)
    assert [video.video_id for video, _label in ask(catalog, videos_to_split)] == ids


@pytest.fixture
def trained(catalog: Catalog) -> dict[str, int]:
    """Ten videos with clips, eight of them in the split of a model that reads clip and audio."""
    ids = add_videos(catalog, 10)
    add_media(catalog)
    clip, audio = add_feature_set(catalog), add_feature_set(catalog, "audio")
    add_features(catalog, clip)
    with catalog.write() as session:
        enrol_features(session, audio, needs_feature_set_id=None)
    split = add_split(catalog, ids[:8])
    model = add_model(catalog, split_id=split, feature_set_ids=[clip, audio])
    return {"clip": clip, "audio": audio, "split": split, "model": model}


def finish_audio(catalog: Catalog, trained: dict[str, int]) -> None:
    """Give video 1 audio, call 2 silent, 3 broken, leave 4 to be tried again and the rest open."""
    results = [None, NothingThere("no_audio", ""), Failed("x", "", permanent=True)]
    results.append(Failed("y", "", permanent=False))
    claims = claim_features(catalog, trained["audio"], owner="me", limit=4)
    for claim, result in zip(claims, results, strict=True):
        with catalog.write() as session:
            if result is None:
                result = feature_done("audio", row=5)
            assert finish_feature(session, trained["audio"], claim, "me", result)


def test_training_rows_tell_absent_failed_and_not_yet_apart(catalog, trained):
    finish_audio(catalog, trained)
    rows = ask(
        catalog,
        split_rows,
        split_id=trained["split"],
        feature_set_ids={"clip": trained["clip"], "audio": trained["audio"], "frames": 99},
        parts=("train", "val"),
    )
    assert [row.part for row in rows] == ["train"] * 5 + ["val"] * 2
    assert [row.features["audio"].status for row in rows[:5]] == [
        "done", "skipped", "dead", "failed", "pending",
    ]  # fmt: skip
    assert (rows[0].features["audio"].uri, rows[0].features["audio"].row) == ("shards/audio", 5)
    assert rows[1].features["audio"].uri is None
    assert {row.features["frames"].status for row in rows} == {"missing"}
    assert rows[0].views_k == 10.0


def score_rows(catalog, trained, run_id=0, *, required=("clip",), kinds=None, **more):
    kinds = kinds or ("clip", "audio")
    return ask(
        catalog,
        videos_to_score,
        model_version_id=trained["model"],
        feature_set_ids={kind: trained[kind] for kind in kinds},
        required=required,
        run_id=run_id,
        **{"rescore": False, **more},
    )


def test_a_video_is_scored_when_no_feature_is_still_to_come(catalog, trained):
    finish_audio(catalog, trained)
    assert [row.video_id for row in score_rows(catalog, trained)] == [1, 2, 3]
    assert [row.video_id for row in score_rows(catalog, trained, required=("clip", "audio"))] == [1]
    with pytest.raises(NotFound, match="frames"):
        score_rows(catalog, trained, required=("frames",))


def test_what_nobody_began_to_make_is_absent_for_a_model_that_can_do_without(catalog, trained):
    finish_audio(catalog, trained)
    with catalog.write() as session:
        session.execute(
            delete(Feature).where(Feature.feature_set_id == trained["audio"], Feature.video_id > 8)
        )
    strict = [row.video_id for row in score_rows(catalog, trained)]
    lenient = [row.video_id for row in score_rows(catalog, trained, optional=True)]
    assert (strict, lenient) == ([1, 2, 3], [1, 2, 3, 9, 10])


def test_a_score_row_says_where_the_video_stood_and_what_is_true(catalog, trained):
    with catalog.write() as session:
        later = T0 + timedelta(days=1)
        again = [(video_facts(f"730000000000000000{i}"), seen(99.0, at=later)) for i in (1, 9)]
        store_sightings(session, again, run_id=None, found_by=None)
    rows = score_rows(catalog, trained, kinds=("clip",))
    assert [row.part for row in rows] == ["train"] * 5 + ["val"] * 2 + ["holdout"] + ["new"] * 2
    assert rows[0].actual_k == 10.0  # the label it was trained on, not today's count
    assert rows[8].actual_k == 99.0


def test_the_truth_of_a_new_video_at_a_horizon_is_its_count_at_that_age(catalog, trained):
    posted = {row.video_id: row.posted_at for row in score_rows(catalog, trained, kinds=("clip",))}
    at = [posted[9] + timedelta(hours=hours) for hours in (20, 30, 200)]
    with catalog.write() as session:
        for when, views_k in zip(at, (50.0, 60.0, 900.0), strict=True):
            again = [(video_facts("7300000000000000009"), seen(views_k, at=when))]
            store_sightings(session, again, run_id=None, found_by=None)

    def truth(horizon_s):
        rows = score_rows(catalog, trained, kinds=("clip",), horizon_s=horizon_s)
        return {row.video_id: row for row in rows}

    latest, day, never = truth(None), truth(86_400), truth(100 * 86_400)
    assert latest[9].actual_k == 900.0
    assert 50 < day[9].actual_k < 60
    assert day[9].observation_id not in (None, latest[9].observation_id)
    assert never[9].actual_k is never[9].observation_id is None
    # A member's truth is its label, whenever that was seen, and the row says at which age.
    assert [day[i].actual_k for i in (1, 8)] == [latest[i].actual_k for i in (1, 8)]
    assert day[1].label_age_s is not None
    assert day[9].label_age_s is None


def test_what_a_model_has_scored_is_not_scored_again(catalog, trained):
    facts = [PredictionFacts(i, 1.0, None, None, None, None, SHA, "new") for i in (1, 2, 3)]
    scoring = record_run(catalog, "score", params={}, model_version_id=trained["model"])
    with scoring as run, catalog.write() as session:
        store_predictions(session, run.id, facts)
    left = [row.video_id for row in score_rows(catalog, trained, kinds=("clip",))]
    assert left == [4, 5, 6, 7, 8, 9, 10]

    again = score_rows(catalog, trained, run.id + 1, rescore=True, kinds=("clip",))
    assert len(again) == 10
    assert len(score_rows(catalog, trained, run.id, rescore=True, kinds=("clip",))) == 7
    with catalog.write() as session:
        session.execute(text("UPDATE run SET status = 'failed' WHERE id = :i"), {"i": run.id})
    assert len(score_rows(catalog, trained, kinds=("clip",))) == 10


def test_clips_come_with_their_part(catalog, trained):
    parted = ask(catalog, clip_refs, feature_set_id=trained["clip"], split_id=trained["split"])
    assert [ref.part for ref in parted] == ["train"] * 5 + ["val"] * 2 + ["holdout"]
    every = ask(catalog, clip_refs, feature_set_id=trained["clip"], split_id=None)
    assert ({ref.part for ref in every}, len(every)) == ({"train"}, 10)
    assert (every[0].video_id, every[0].status, every[0].row) == (1, "done", 0)


def test_a_model_is_found_by_version_alias_or_as_the_newest(catalog, trained):
    newest = add_model(catalog, inputs_hash="other")
    with catalog.write() as session:
        set_alias(session, "fused", "live", trained["model"], set_by="me", reason="")
    with catalog.read() as session:
        assert find_model(session, name="fused", version=None, alias=None).id == newest
        assert find_model(session, name="fused", version=1, alias=None).id == trained["model"]
        assert find_model(session, name="fused", version=None, alias="live").id == trained["model"]
        for options in ({"name": "none"}, {"name": "fused", "version": 9}):
            with pytest.raises(NotFound, match=r"fused \(versions to 2\), fused@live"):
                find_model(session, **{"version": None, "alias": None, **options})
        assert find_model_by_inputs(session, "fused", "other").id == newest
        assert find_model_by_inputs(session, "fused", "none") is None


def test_a_model_names_its_feature_sets(catalog, trained):
    with catalog.read() as session:
        sets = model_feature_sets(session, trained["model"])
        assert {kind: facts.id for kind, facts in sets.items()} == {
            kind: trained[kind] for kind in ("clip", "audio")
        }
        found = find_feature_set(session, "clip", "a" * 64)
        assert (found.id, found.config["every_frames"]) == (trained["clip"], 200)
        assert find_feature_set(session, "clip", "none") is None


def test_a_split_is_found_by_name_or_as_the_newest(catalog, trained):
    with catalog.read() as session:
        found = find_split(session, None)
        assert (found.name, found.n_by_part) == ("s1", {"holdout": 1, "train": 5, "val": 2})
        assert find_split(session, "s1") == found
        with pytest.raises(NotFound, match="there are: s1"):
            find_split(session, "s2")


# --- what is wanted


def test_wanted_accounts_are_listed_until_they_are_fresh(catalog):
    with catalog.write() as session:
        want_accounts(session, "tiktok", {"k2": "berta", "k1": "anna"}, T0)
        want_accounts(session, "youtube", {"k3": "carla"}, T0)
        mark_account_listed(session, "tiktok", "k1", LATER)

    def todo(named=None, before=None):
        with catalog.read() as session:
            found = accounts_to_list(session, named=named, listed_before=before)
        return [(account.author_key, account.handle) for account in found]

    assert todo() == [("k1", "anna"), ("k2", "berta")]
    assert todo(before=LATER) == [("k2", "berta")]
    assert todo(before=LATER + timedelta(seconds=1)) == [("k1", "anna"), ("k2", "berta")]
    assert todo(named={"k1": "anna", "k9": "zoe"}, before=LATER) == [("k9", "zoe")]
    assert todo(named={}) == []


def test_wanted_sounds_are_listed_until_they_are_fresh(catalog):
    with catalog.write() as session:
        want_sounds(session, "tiktok", ["72", "71"], T0)
        mark_sound_listed(session, "tiktok", "71", LATER)

    def todo(named=None, before=None):
        with catalog.read() as session:
            return sounds_to_list(session, named=named, listed_before=before)

    assert todo() == ["71", "72"]
    assert todo(before=LATER) == ["72"]
    assert todo(named=["71", "9"], before=LATER) == ["9"]
    assert todo(named=[]) == []
