from dataclasses import asdict, fields, replace
from datetime import timedelta

import numpy as np
import pytest
import torch
from torch import nn

from catalog.facts import PostFacts
from model.batches import Example
from model.blocks.encoder import LABEL_COLUMNS, BlockConfig, BlockEncoder
from model.blocks.wide import CLIP_AT, Reservoir
from model.errors import BadSetting, IncompatibleFeatures, NotFinite, NothingToTrain
from model.targets import TargetTransform
from tests.model.rows import log_target, told

ROWS = told(media=True)
SETTINGS = BlockConfig(text_buckets=512)


def fitted(rows=ROWS, *, use_author=True, settings=SETTINGS, seed=0):
    return BlockEncoder.fit(
        rows, target=log_target(ROWS), seed=seed, use_author=use_author, settings=settings
    )


def same(one, other):
    return all(
        np.array_equal(one.values[name], other.values[name])
        and np.array_equal(one.present[name], other.present[name])
        for name in one.values
    )


@pytest.fixture(scope="module")
def encoder():
    return fitted()


def test_there_is_a_block_for_all_that_the_rows_have(encoder):
    assert [block.name for block in encoder.blocks] == [
        "form", "meta", "text", "words", "tags", "visual", "frames", "audio", "author",
    ]  # fmt: skip
    encoded = encoder.encode(ROWS)
    for block in encoder.blocks:
        values, present = encoded.values[block.name], encoded.present[block.name]
        assert values.shape == (len(ROWS), block.width)
        assert values.dtype == np.float32
        assert np.abs(values).max() <= CLIP_AT
        assert not values[~present].any()


def test_what_no_training_row_has_makes_no_block():
    rows = [
        replace(row, visual=None, facts=PostFacts(duration_s=9.0 + i)) for i, row in enumerate(ROWS)
    ]
    assert [b.name for b in fitted(rows).blocks] == ["meta", "frames", "audio"]
    with pytest.raises(NothingToTrain, match="none of 3 training rows"):
        fitted([Example(i, views_k=1.0) for i in range(3)])


def test_an_author_is_only_read_where_asked(encoder):
    plain = fitted(use_author=False)
    assert "author" not in [block.name for block in plain.blocks]
    assert plain.config.n_history == 0
    assert encoder.config.n_history == sum(row.facts.author is not None for row in ROWS)


def test_a_row_has_the_same_numbers_alone_and_among_others(encoder):
    for training in (False, True):
        together = encoder.encode(ROWS, training=training)
        for position, row in enumerate(ROWS):
            alone = encoder.encode([row], training=training)
            for name, value in alone.values.items():
                assert np.array_equal(value[0], together.values[name][position])
                assert alone.present[name][0] == together.present[name][position]


def test_training_numbers_are_standardised(encoder):
    encoded = encoder.encode(ROWS, training=True)
    for name in ("text", "tags", "visual", "frames", "author"):
        known = np.delete(encoded.values[name], LABEL_COLUMNS.get(name, []), axis=1)
        known = known[encoded.present[name]]
        moving = known.std(axis=0) > 1e-6
        np.testing.assert_allclose(known[:, moving].std(axis=0), 1, atol=0.1)
        np.testing.assert_allclose(known.mean(axis=0), 0, atol=0.1)


def test_two_fits_of_one_seed_are_the_same(encoder):
    again = fitted()
    assert again.config == encoder.config
    for name, tensor in encoder.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name


def test_its_config_and_tensors_are_all_there_is(encoder):
    config = BlockConfig(**asdict(encoder.config))
    with torch.device("meta"):
        rebuilt = BlockEncoder(config)
    rebuilt.load_state_dict(encoder.state_dict(), strict=True, assign=True)
    assert same(rebuilt.encode(ROWS, training=True), encoder.encode(ROWS, training=True))


def test_its_tensors_stay_as_they_are_when_the_network_moves(encoder):
    class Around(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = encoder
            self.own = nn.Linear(1, 1)

    moved = Around().to("meta", torch.float16)
    assert moved.own.weight.is_meta
    assert moved.encoder.general.total.dtype == torch.float64
    assert same(moved.encoder.encode(ROWS), encoder.encode(ROWS))


def test_few_rows_get_few_columns():
    config = fitted(ROWS[:16]).config
    assert config.text_width == 1
    assert config.frames_width == 2
    assert fitted().config.frames_width == 10  # as wide as the feature


def test_a_feature_of_another_size_is_refused_with_its_video(encoder):
    with pytest.raises(IncompatibleFeatures, match=r"frames feature of video 3 .* 11 .* reads 10"):
        encoder.encode([replace(ROWS[2], frames=np.zeros(11))])
    with pytest.raises(NotFinite, match="audio feature of video 3"):
        encoder.encode([replace(ROWS[2], audio=np.full((2, 6), np.nan))])


def test_a_row_without_views_cannot_be_learned_from():
    with pytest.raises(NothingToTrain, match="video 2 "):
        fitted([ROWS[0], replace(ROWS[1], views_k=None)])


def test_settings_that_no_encoder_can_have_are_refused():
    with pytest.raises(BadSetting, match="n_folds 1"):
        BlockConfig(n_folds=1)
    with pytest.raises(BadSetting, match="tag_prior 0"):
        BlockConfig(tag_prior=0)


def test_a_matrix_says_what_is_missing(encoder):
    encoded = encoder.encode(ROWS)
    n_blocks = len(encoder.blocks)
    matrix = encoded.matrix(missing=np.nan)
    assert matrix.shape == (len(ROWS), sum(b.width for b in encoder.blocks) + n_blocks)
    flags = matrix[:, -n_blocks:]
    np.testing.assert_array_equal(flags, np.stack(list(encoded.present.values()), axis=1))
    first = encoder.blocks[1]  # meta, after form
    start = encoder.blocks[0].width
    unknown = np.isnan(matrix[:, start : start + first.width]).all(axis=1)
    np.testing.assert_array_equal(unknown, ~encoded.present["meta"])
    assert np.isfinite(encoded.matrix()).all()


def test_any_text_is_encoded(encoder):
    for text in ("", "\0", "🙂" * 5000, "مرحبا", "a\u202eb", "字" * 5000):
        row = Example(1, facts=PostFacts(caption=text, hashtags=(text, "cats"), transcript=text))
        for values in encoder.encode([row]).values.values():
            assert np.isfinite(values).all()


def test_silence_and_not_listened_are_two_things(encoder):
    silent, unheard = (Example(1, facts=PostFacts(transcript=said)) for said in ("", None))
    present = encoder.encode([silent, unheard]).present["words"]
    assert present.tolist() == [True, False]


# No label may reach what a model will be judged on, or learn from as if it were known before.


def test_no_field_of_the_facts_is_an_outcome():
    names = {field.name for field in fields(PostFacts)}
    outcomes = ("like", "digg", "share", "comment", "play", "view", "follower", "save", "collect")
    assert not [name for name in names if any(outcome in name for outcome in outcomes)]
    assert names == {
        "caption", "hashtags", "author", "posted_at", "duration_s", "width_px", "height_px",
        "transcript", "language", "speech_s",
    }  # fmt: skip


def test_a_rows_own_views_are_never_read(encoder):
    held_out = told(20, seed=5, media=True)
    other = [replace(row, views_k=1e9) for row in held_out]
    unknown = [replace(row, views_k=None) for row in held_out]
    assert same(encoder.encode(held_out), encoder.encode(other))
    assert same(encoder.encode(held_out), encoder.encode(unknown))


def trained_on(encoder, rows, name):
    return encoder.encode(rows, training=True).values[name]


@pytest.mark.parametrize("position", [0, 11, 40])
def test_a_label_moves_no_training_encoding_of_its_own_fold(encoder, position):
    fold = encoder.fold_of(ROWS[position])
    mates = [row for row in ROWS if encoder.fold_of(row) == fold]
    others = [row for row in ROWS if encoder.fold_of(row) != fold]
    assert len(mates) > 1
    moved = list(ROWS)
    moved[position] = replace(ROWS[position], views_k=5e8)
    other = fitted(moved)
    names = {block.name for block in encoder.blocks} - {"author"}
    assert "tags" in names
    for name in sorted(names):
        one, two = (trained_on(e, mates, name) for e in (encoder, other))
        assert np.array_equal(one, two), name
    # The label is used: it does move what the other folds are told of its hashtags.
    assert not np.array_equal(
        trained_on(encoder, others, "tags"), trained_on(other, others, "tags")
    )


def test_an_authors_label_moves_only_what_was_posted_later(encoder):
    own = [row for row in ROWS if row.facts.author == 1]
    when = own[2].facts.posted_at
    moved = [replace(row, views_k=5e8) if row is own[2] else row for row in ROWS]
    one, two = (trained_on(e, own, "author") for e in (encoder, fitted(moved)))
    same_history = (one == two).all(axis=1)
    assert same_history.tolist() == [row.facts.posted_at <= when for row in own]
    assert not same_history.all()


def test_a_video_posted_at_the_same_moment_is_not_history(encoder):
    row = next(row for row in ROWS if row.facts.author == 1)
    twin = replace(row, video_id=999, views_k=None)
    before = encoder.authors.before(1, row.facts.posted_at)
    assert np.array_equal(
        encoder.encode([twin]).values["author"], encoder.encode([row]).values["author"]
    )
    after = encoder.authors.before(1, row.facts.posted_at + timedelta(microseconds=1))
    assert after[0] == before[0] + 1


def test_a_tag_seen_once_says_nothing_of_its_label():
    rows = list(ROWS)
    rows[3] = replace(rows[3], facts=replace(rows[3].facts, hashtags=("only-here",)))
    high = fitted([*rows[:3], replace(rows[3], views_k=9e8), *rows[4:]])
    for training in (True, False):
        found = high.encode([rows[3]], training=training).values["tags"][0]
        np.testing.assert_array_equal(found[:2], np.zeros(2))


def test_a_raw_target_does_not_drown_the_means_in_its_largest_counts():
    settings = {"seed": 0, "settings": SETTINGS, "use_author": True}
    raw = BlockEncoder.fit(ROWS, target=TargetTransform("raw"), **settings).encode(ROWS)
    log = BlockEncoder.fit(ROWS, target=log_target(ROWS), **settings).encode(ROWS)
    for name in ("tags", "author"):
        high, other = raw.values[name][:, 0], log.values[name][:, 0]
        assert np.abs(high).max() < CLIP_AT
        assert np.corrcoef(high, other)[0, 1] > 0.999


def test_a_sample_gives_every_row_the_same_chance():
    hits = np.zeros(40)
    for seed in range(2000):
        sample = Reservoir(10, seed)
        for item in range(40):
            sample.add(item)
        assert len(set(sample.items)) == 10
        hits[sample.items] += 1
    assert np.abs(hits - 500).max() < 5 * np.sqrt(500 * 0.75)
