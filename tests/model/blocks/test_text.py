import numpy as np
import pytest

from model.blocks.text import READ_CHARACTERS, TextAxes, counted, ngrams

TEXTS = [
    f"{animal} {verb} today" for animal in ("cats", "dogs", "birds") for verb in ("run", "sleep")
]


def fitted(texts=TEXTS, width=2, seed=0):
    return TextAxes.fit([ngrams(t) for t in texts], buckets=256, width=width, seed=seed)


def test_reads_words_pairs_and_pieces_of_longer_words():
    assert ngrams("The Kitten") == [
        "w the", "w kitten", "p the kitten", "c <ki", "c kit", "c itt", "c tte", "c ten", "c en>",
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
    assert len(ngrams("ab " * 10**6)) <= READ_CHARACTERS


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
