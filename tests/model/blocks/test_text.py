from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest

from catalog.facts import PostFacts
from model.blocks.text import (
    FORM_NAMES,
    POST_NAMES,
    READ_CHARACTERS,
    TextAxes,
    caption_form,
    counted,
    ngrams,
    post_numbers,
)

NOON = datetime(2024, 5, 5, 12, 0, tzinfo=UTC)  # a Sunday


def form(**facts):
    return dict(zip(FORM_NAMES, caption_form(PostFacts(**facts)), strict=True))


def post(**facts):
    return dict(zip(POST_NAMES, post_numbers(PostFacts(**facts)), strict=True))


def test_counts_what_a_caption_is_made_of():
    found = form(caption="Why ME? 🎉🎉 ask @anna\nsee https://x.y!", hashtags=("a", "b"))
    counts = {name: round(float(np.expm1(value))) for name, value in found.items()}
    assert counts["emoji"] == 2
    assert counts["questions"] == counts["exclamations"] == counts["mentions"] == 1
    assert counts["links"] == counts["lines"] == 1
    assert counts["hashtags"] == 2
    assert found["capitals"] == pytest.approx(3 / 22)
    assert found["not_latin"] == 0


@pytest.mark.parametrize(
    "caption",
    ["", "\0", "🙂" * 4000, "مرحبا بالعالم؟", "日本語の字幕", "a\u202eb", "#" * 10_000, " \n\t"],
)
def test_any_caption_has_a_form_of_finite_numbers(caption):
    found = caption_form(PostFacts(caption=caption, hashtags=("tag",)))
    assert found is not None
    assert found.shape == (len(FORM_NAMES),)
    assert np.isfinite(found).all()


def test_a_post_without_any_text_has_no_form():
    assert caption_form(PostFacts()) is None


def test_writing_other_than_latin_is_seen():
    assert form(caption="Привет")["not_latin"] == 1
    assert form(caption="Grüße")["not_latin"] == 0


def test_what_is_unknown_is_missing_and_not_zero():
    found = post(duration_s=10.0)
    assert found["duration"] == pytest.approx(np.log(10))
    assert (found["duration_known"], found["size_known"], found["time_known"]) == (1, 0, 0)
    assert np.isnan([found["aspect"], found["height"], found["hour_sin"], found["weekend"]]).all()
    assert post_numbers(PostFacts(caption="words alone")) is None


@pytest.mark.parametrize("duration_s", [0.0, -1.0, float("nan"), float("inf")])
def test_a_duration_that_is_none_counts_as_unknown(duration_s):
    assert post_numbers(PostFacts(duration_s=duration_s)) is None


def test_the_hour_is_that_of_utc():
    east = NOON.astimezone(timezone(timedelta(hours=9)))
    assert post(posted_at=east) == pytest.approx(post(posted_at=NOON), nan_ok=True)
    assert post(posted_at=NOON)["hour_cos"] == pytest.approx(-1)
    assert post(posted_at=NOON)["weekend"] == 1


def test_midnight_is_beside_the_minute_before():
    late, midnight = (
        post_numbers(PostFacts(posted_at=NOON + timedelta(hours=12, minutes=minutes)))
        for minutes in (-1, 0)
    )
    hours = slice(POST_NAMES.index("hour_sin"), POST_NAMES.index("hour_cos_2") + 1)
    np.testing.assert_allclose(late[hours], midnight[hours], atol=0.01)


TEXTS = [
    f"{animal} {verb} today" for animal in ("cats", "dogs", "birds") for verb in ("run", "sleep")
]


def fitted(texts=TEXTS, width=2, seed=0):
    return TextAxes.fit([ngrams(t) for t in texts], buckets=256, width=width, seed=seed)


def test_reads_words_pairs_and_pieces_of_longer_words():
    assert ngrams("The Ox") == [
        "w the", "w ox", "p the ox",
        "c <t", "c th", "c he", "c e>", "c <th", "c the", "c he>", "c <the", "c the>", "c <the>",
        "c <o", "c ox", "c x>", "c <ox", "c ox>", "c <ox>",
    ]  # fmt: skip


def test_ornamental_letters_read_like_plain_ones():
    assert ngrams("𝓗𝓮𝓵𝓵𝓸") == ngrams("hello")


def test_emoji_are_words():
    assert "w 🎉" in ngrams("party🎉")


@pytest.mark.parametrize(
    "text", ["", "\0\0", "🙂🙃" * 3000, "שלום עולם", "字" * 9000, "a\u202eb", "...!!"]
)
def test_any_text_has_a_place(text):
    place = fitted().read(ngrams(text))
    assert place.shape == (2,)
    assert np.isfinite(place).all()


def test_the_time_of_a_row_is_bounded():
    for text in ("ab ", "a", "🙂"):
        assert len(ngrams(text * 10**6)) == len(ngrams(text * READ_CHARACTERS))
        assert len(ngrams(text * 10**6)) <= 5 * READ_CHARACTERS  # each sign for itself


def test_texts_of_the_same_words_lie_together():
    axes = fitted()
    place = {text: axes.read(ngrams(text)) for text in TEXTS}
    apart = np.linalg.norm(place["cats run today"] - place["cats sleep today"])
    assert apart > 0
    np.testing.assert_array_equal(axes.read(ngrams("CATS run  today")), place["cats run today"])


def test_a_text_of_unknown_words_lies_at_zero():
    axes = fitted()
    known = {bucket for text in TEXTS for bucket in counted(ngrams(text), 256)[0].tolist()}
    unknown = next(
        w for w in map(str, range(9999)) if not known & set(counted([f"w {w}"], 256)[0].tolist())
    )
    np.testing.assert_array_equal(axes.read([f"w {unknown}"]), np.zeros(2))


def test_words_of_a_single_text_weigh_nothing():
    axes = fitted([*TEXTS, "zebra"])
    (bucket,) = counted(["w zebra"], 256)[0]
    others = {b for text in TEXTS for b in counted(ngrams(text), 256)[0].tolist()}
    assert bucket not in others
    assert axes.idf[bucket] == 0


def test_the_same_seed_finds_the_same_axes():
    assert fitted().axes.equal(fitted().axes)


def test_texts_with_nothing_in_common_do_not_break_it():
    axes = fitted(["one", "two", "three", "four"])
    assert np.isfinite(axes.axes.numpy()).all()
