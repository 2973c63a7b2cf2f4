"""What is said of one file, and how: readable numbers, plain verdicts, nothing that does harm."""

import json
from dataclasses import replace

import pytest

from catalog.facts import KnownAccount
from model.forecast.card import (
    AuthorStanding,
    ForecastCard,
    LikeIt,
    ModelLine,
    Move,
    Refused,
    Similar,
    Standing,
    TrackRecord,
    judge,
    percentile_of,
    plain,
)
from model.forecast.card_json import card_document, ranking_document, refused_document
from model.forecast.card_text import card_text, ranking_text, refused_text, views_text
from model.forecast.opening_facts import FACTS, Association, Measured
from model.forecast.ranking import Said, Shared, ranking_of
from model.forecast.what_if import Alternative, WhatIf

MEASURED = {
    "n": 150.0,
    "log_mae": 0.9,
    "log_mae.train_mean": 1.6,
    "log_mae.train_median": 1.1,
    "log_mae.geometric_mean": 1.0,
    "log_mae_diff.train_mean.low": -0.9,
    "log_mae_diff.train_mean.high": -0.5,
    "log_mae_diff.train_median.low": -0.3,
    "log_mae_diff.train_median.high": -0.1,
    "log_mae_diff.geometric_mean.low": -0.2,
    "log_mae_diff.geometric_mean.high": -0.02,
    "spearman": 0.3,
    "spearman.low": 0.1,
    "spearman.high": 0.5,
    "coverage_80": 0.79,
}
CARD = ForecastCard(
    file="a.mp4",
    model=ModelLine("fused", 2, "fused", "regression"),
    views_k=12.345,
    low_k=2.1,
    high_k=70.44,
    quartile=2,
    edges_k=(1.0, 10.0, 100.0),
    standing=Standing(61.7, 240, ("dance", "cat")),
    similar=(Similar("7300000000000000001", "https://example.org/1", "a cat", 31.0, 0.81),),
    moves=(Move("sound", 1.25), Move("picture", 0.4), Move("caption", 1.001)),
    record=judge({"holdout": MEASURED}),
    duration_s=15.0,
    width_px=576,
    height_px=1024,
    caption="my cat #cat",
    hashtags=("cat",),
    posted_at="2026-11-23T18:30:00+00:00",
    transcript="hello there",
    language="en",
    read=("visual",),
    absent={"audio": "a.mp4 has no sound track"},
    seconds={"look": 0.03, "visual": 0.5},
)


@pytest.mark.parametrize(
    ("views_k", "text"),
    [
        (0.0, "0"),
        (0.9871, "987"),
        (0.99949, "999"),
        (0.9996, "1K"),
        (1.0, "1K"),
        (12.34, "12.3K"),
        (999.94, "999.9K"),
        (999.96, "1M"),
        (1_234.0, "1.2M"),
        (30_580.0, "30.6M"),
        (999_960.0, "1B"),
        (5_000_000_000.0, "5,000B"),
    ],
)
def test_counts_are_written_as_people_read_them(views_k, text):
    assert views_text(views_k) == text


def test_a_percentile_counts_what_is_below_and_half_of_what_is_equal():
    assert percentile_of(5.0, [1.0, 2.0, 5.0, 5.0, 9.0]) == pytest.approx(60.0)
    assert percentile_of(0.5, [1.0]) == 0.0
    assert percentile_of(2.0, [1.0]) == 100.0
    assert percentile_of(2.0, []) is None


def test_a_card_says_everything_in_plain_words():
    text = card_text(CARD)

    for said in (
        "12.3K views, 80 % interval 2.1K to 70.4K",
        "more than 62 % of the 240 videos with #dance #cat",
        "the third of four; the training videos' borders are 1K, 10K, 100K",
        "31K  likeness 0.81  7300000000000000001  a cat",
        "picture: × 0.40 (down)",
        "sound: × 1.25 (up)",
        "audio: a.mp4 has no sound track",
        "fused version 2",
        "It beats every constant: log-MAE 0.900 on 150 held-out videos, 1.000 for the geometric",
        "Rank correlation there 0.30 (95 %: 0.10 to 0.50).",
        "Its 80 % intervals held 79 % of them.",
        "look 0.03, visual 0.50",
    ):
        assert said in text
    # The larger factor first, and what moved nothing not at all.
    assert text.index("picture: ×") < text.index("sound: ×")
    assert "caption: ×" not in text


def test_a_document_has_the_exact_numbers():
    document = json.loads(json.dumps(card_document(CARD), allow_nan=False))

    assert (document["views_k"], document["low_k"], document["high_k"]) == (12.345, 2.1, 70.44)
    assert document["percentile"] == 61.7
    assert document["comparable"] == {
        "n": 240,
        "sharing": ["dance", "cat"],
        "median_age_days": None,
    }
    assert document["moved_by"] == {"sound": 1.25, "picture": 0.4, "caption": 1.001}
    assert document["similar"][0]["tiktok_id"] == "7300000000000000001"
    assert document["model_record"]["verdict"] == "better"
    assert document["inputs"]["absent"] == {"audio": "a.mp4 has no sound track"}
    assert document["seconds"] == {"look": 0.03, "visual": 0.5}


def test_what_a_model_does_not_say_is_said_to_be_missing():
    card = replace(
        CARD, low_k=None, high_k=None, similar=None, moves=(), standing=Standing(None, 0)
    )
    text = card_text(card)

    assert "this model states no interval" in text
    assert "looks at no other videos" in text
    assert "no video of the catalog has a readable count" in text
    assert "nothing: without any one input the forecast is about the same" in text
    assert card_document(card)["similar"] is None
    assert card_document(card)["comparable"]["sharing"] is None


def test_a_forecast_stands_among_others_at_a_stated_age():
    card = replace(
        CARD,
        standing=replace(CARD.standing, age_d=12.25),
        among_own=AuthorStanding(40.0, 20, 7.0, 7.0),
        like_it=LikeIt(100, 0.9, 120.0),
        account=KnownAccount(n_followers=12_345, is_verified=True),
    )
    text = card_text(card)
    for said in (
        "of the 240 videos with #dance #cat, counted at 12 days (median)",
        "more than 40 % of the author's last 20 posts, counted at 7 days (median): those nearest "
        "to 7 days",
        "of 100 training videos like this the middle 80 got 900 to 120K",
        "12,345 followers, verified",
    ):
        assert said in text
    newest = replace(card, among_own=AuthorStanding(40.0, 1, 0.25, None), like_it=LikeIt(64, 1, 2))
    text = card_text(newest)
    assert "the author's last post, counted at 6 hours (median): the newest counts" in text
    assert "of 64 training videos like this the middle 80 % got 1K to 2K" in text
    document = card_document(card)
    assert document["among_own"] == {
        "percentile": 40.0,
        "n": 20,
        "median_age_days": 7.0,
        "wanted_age_days": 7.0,
    }
    assert document["like_it"] == {"n": 100, "p10_k": 0.9, "p90_k": 120.0}
    assert card_document(CARD)["among_own"] is card_document(CARD)["like_it"] is None
    assert "author's" not in card_text(CARD)


@pytest.mark.parametrize(
    ("label", "horizon_s", "words"),
    [
        ("at:7d", 7 * 86_400, "views at 7 days"),
        ("latest", 1_065_000, "latest count, as if 12 days old"),
        ("from:7d", None, "first count from 7d on; of no stated age"),
        ("latest", None, "latest count; of no stated age"),
    ],
)
def test_a_card_says_which_count_it_forecasts(label, horizon_s, words):
    card = replace(CARD, model=replace(CARD.model, label=label, horizon_s=horizon_s))
    assert f"\n            {words}\n" in card_text(card)
    said = card_document(card)["model"]
    assert (said["label"], said["horizon_s"]) == (label, horizon_s)
    assert said["forecasts"] == words.removesuffix("; of no stated age")


def test_measured_facts_say_what_goes_with_them_and_that_it_is_no_cause():
    [cuts, first, *_] = FACTS
    none = Measured(cuts, 5.0, 80.0, Association("no effect found", 1200, 300, 0.01, -0.1, 0.1))
    few = Measured(first, 0.7, None, Association("too few", 12, 9))
    text = card_text(replace(CARD, opening=(none, few)))
    assert (
        "cuts in the opening: 5 (more than 80 % of the catalog's); no effect found in 1,200 videos "
        "of 300 authors" in text
    )
    assert "too few videos to tell what these do: first cut 0.7 s" in text
    assert "need not be" not in text
    fewer = replace(none, association=Association("fewer", 1200, 300, -0.2, -0.3, -0.1))
    text = card_text(replace(CARD, opening=(fewer,)))
    assert "got fewer views than the model forecast (rank correlation -0.20, -0.30 to" in text
    assert "need not be what brings them" in text
    [told] = card_document(replace(CARD, opening=(fewer,)))["opening"]["facts"]
    assert (told["name"], told["finding"], told["high"]) == ("opening_cuts", "fewer", -0.1)


def test_only_changes_larger_than_the_stated_share_are_shown():
    found = WhatIf(
        (
            Alternative("hour", "19", 15.0, 1.21),
            Alternative("hour", "04", 10.0, 0.81),
            Alternative("without hashtag", "fyp", 12.0, 1.02),
            Alternative("with hashtag", "cat", 20.0, 1.62),
        ),
        2.5,
    )
    text = card_text(replace(CARD, what_if=found))
    assert "at 19:00 UTC, the best hour: × 1.21; at 04:00, the worst: × 0.81" in text
    assert "the hours differ by a factor of 1.49; its forecasts are off by a factor of 2.5" in text
    assert "with #cat: × 1.62" in text
    assert "#fyp" not in text
    assert "1 other change by less than 5 %" in text
    assert "not what would come of it" in text
    document = card_document(replace(CARD, what_if=found))["what_if"]
    assert [one["is_small"] for one in document["alternatives"]] == [False, False, True, False]
    assert card_document(CARD)["what_if"] is None
    nothing = card_text(replace(CARD, what_if=WhatIf((), None, reads_post=False)))
    assert "this model reads nothing of the post" in nothing
    bare = card_text(replace(CARD, what_if=WhatIf((), None)))
    assert "reads nothing" not in bare
    assert "neither a time of posting nor a hashtag is given" in bare


def test_a_ranking_is_one_line_of_two_and_a_list_of_more():
    said = {"a": Said(1, 0.5, 2), "b": Said(9, 3, 20), "c": Said(4, 2, 9)}
    two = ranking_text(ranking_of(["a", "b"], [said["a"], said["b"]]))
    assert two.startswith("ranking: b gets more than a in 98 of 100 cases")
    assert "closer to certain than stated" in two
    more = ranking_of(list(said), list(said.values()), Shared(0.31, 412, 60))
    lines = ranking_text(more).splitlines()
    assert [line.split()[2] for line in lines[1:4]] == ["b", "c", "a"]
    assert lines[1].endswith("of 100 cases")
    assert "correlate by 0.31, as measured on 412 pairs" in lines[4]
    document = ranking_document(more)
    assert (document["files"], document["places"]) == (["b", "c", "a"], [1, 2, 0])
    assert len(document["p_beats"]) == len(document["p_beats"][0]) == 3
    unsure = ranking_text(ranking_of(["a", "\x1b[31mb"], [1.0, 2.0]))
    assert "without intervals" in unsure
    assert "\x1b" not in unsure


@pytest.mark.parametrize(
    ("changes", "verdict", "words"),
    [
        ({}, "better", "It beats every constant"),
        ({"log_mae_diff.geometric_mean.high": 0.01}, "unclear", "chance may give as much"),
        # Not the best of the constants, but "every" is every one.
        ({"log_mae_diff.train_median.high": 0.01}, "unclear", "chance may give as much"),
        ({"n": 29}, "unclear", "chance may give as much"),
        ({"spearman.low": -0.01}, "unclear", "chance may give as much"),
        ({"log_mae": 0.995}, "unclear", "chance may give as much"),
        ({"log_mae": 1.0}, "not_better", "It does not beat a constant"),
        ({"log_mae": 1.3}, "not_better", "1.000 for the geometric mean of the training videos"),
    ],
)
def test_a_model_is_judged_by_every_constant_and_shown_beside_the_best(changes, verdict, words):
    record = judge({"holdout": {**MEASURED, **changes}})

    assert record.verdict == verdict
    assert record.best_constant == "geometric_mean"
    assert words in card_text(replace(CARD, record=record))


def test_without_an_interval_a_lead_is_not_called_better():
    without = {name: value for name, value in MEASURED.items() if "_diff" not in name}
    assert judge({"holdout": without}).verdict == "unclear"


def test_a_constant_that_was_not_measured_is_not_beaten():
    fewer = {name: value for name, value in MEASURED.items() if "train_mean" not in name}
    assert judge({"holdout": fewer}).verdict == "unclear"


def test_how_large_a_lead_must_be_is_a_setting():
    found = {"holdout": MEASURED}
    said = [judge(found, least_gain=least).verdict for least in (0.05, 0.2)]
    assert said == ["better", "unclear"]


def test_validation_counts_where_nothing_was_held_out():
    record = judge({"holdout": {}, "val": MEASURED})
    assert (record.part, record.n) == ("val", 150)
    assert "150 validation videos" in card_text(replace(CARD, record=record))


def test_a_model_that_was_never_measured_says_so():
    record = judge({})
    assert record == TrackRecord("unmeasured")
    assert "never measured" in card_text(replace(CARD, record=record))


def test_a_constant_and_a_shuffled_model_say_what_they_are():
    constant = replace(CARD, record=judge({"holdout": MEASURED}, is_constant=True))
    assert "It is a constant: it says the same of every video." in card_text(constant)
    shuffled = replace(CARD, model=replace(CARD.model, is_shuffled=True))
    assert "what it says is chance" in card_text(shuffled)


def test_a_classifiers_count_is_explained():
    card = replace(CARD, model=replace(CARD.model, objective="quartile"))
    assert "the model names a quarter, the count is that quarter's median" in card_text(card)


def test_a_file_that_the_model_was_trained_on_is_no_forecast():
    card = replace(CARD, known_as="73000", known_part="train")
    assert "this file is video 73000 of the catalog; the model was trained on it" in card_text(card)
    held = card_text(replace(CARD, known_as="73000", known_part="holdout"))
    assert "this file is video 73000 of the catalog\n" in held


def test_no_text_steers_a_terminal_or_breaks_a_line():
    evil = "\x1b[31mred\x07\r\nnext\u202eesrever [bold]\ud800<b>\x9b"
    card = replace(
        CARD,
        file=evil,
        caption=evil,
        hashtags=(evil,),
        transcript=evil,
        absent={"audio": evil},
        similar=(replace(CARD.similar[0], caption=evil, tiktok_id=evil),),
    )
    for text in (card_text(card), refused_text(Refused(evil, "undecodable", evil))):
        assert not any(mark in text for mark in "\x1b\x07\r\x9b\u202e\ud800")
        text.encode("utf-8")
    assert card_text(card).count("\n") == card_text(CARD).count("\n")
    for document in (card_document(card), refused_document(Refused(evil, "x", evil))):
        json.dumps(document, ensure_ascii=False).encode("utf-8")
        assert "\x1b" not in str(document)


def test_long_texts_are_cut_and_emoji_stay_whole():
    assert plain("x" * 500, 10) == "xxxxxxxxx…"
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
    assert plain(f"a  {family}\tb") == f"a {family} b"


def test_a_refusal_names_the_file_and_the_reason():
    refused = Refused("b.mp4", "undecodable", "b.mp4 is empty")
    assert refused_text(refused) == "b.mp4\n  no forecast b.mp4 is empty"
    assert refused_document(refused) == {
        "file": "b.mp4",
        "status": "failed",
        "code": "undecodable",
        "message": "b.mp4 is empty",
    }
