from dataclasses import asdict, fields, replace
from datetime import timedelta

import numpy as np
import pytest
import torch
from torch import nn

from catalog.facts import KnownAccount, PostFacts
from model.batches import Example
from model.blocks.encoder import MEDIA, BlockConfig, BlockEncoder, with_sizes
from model.blocks.past import BLOCKS as PAST
from model.blocks.past import COLUMNS
from model.blocks.wide import CLIP_AT
from model.errors import BadSetting, IncompatibleFeatures, NotFinite, NothingToTrain
from model.modern.config import ModernConfig
from tests.model.rows import told

SETTINGS = BlockConfig(text_buckets=512)


def with_past(rows, *, seed=3):
    """The rows with histories of noise; some know nothing of their author, some nothing at all."""
    draw = np.random.default_rng(seed)
    found = []
    for row in rows:
        history = draw.normal(size=len(COLUMNS)).astype(np.float32)
        if row.video_id % 5 == 0:
            history[2:10] = np.nan
        known = row.video_id % 11 > 0
        found.append(replace(row, history=history if known else np.full(len(COLUMNS), np.nan)))
    return found


ROWS = with_past(told(media=True))


def fitted(rows=ROWS, *, settings=SETTINGS, seed=0):
    return BlockEncoder.fit(rows, seed=seed, settings=settings)


def same(one, other):
    return one.values.keys() == other.values.keys() and all(
        np.array_equal(one.values[name], other.values[name])
        and np.array_equal(one.present[name], other.present[name])
        for name in one.values
    )


def names_of(encoder):
    return [block.name for block in encoder.blocks]


@pytest.fixture(scope="module")
def encoder():
    return fitted()


def test_there_is_a_block_for_all_that_the_rows_have(encoder):
    assert names_of(encoder) == [
        "form", "meta", "text", "tags", "words", "account", "sound", "traits",
        *PAST, "screen", "opening", "sentence", "visual", "frames", "audio",
    ]  # fmt: skip
    assert set(MEDIA) < set(names_of(encoder))
    encoded = encoder.encode(ROWS)
    for block in encoder.blocks:
        values, present = encoded.values[block.name], encoded.present[block.name]
        assert values.shape == (len(ROWS), block.width)
        assert values.dtype == np.float32
        assert np.abs(values).max() <= CLIP_AT
        assert present.any()
        assert not values[~present].any()


def test_what_no_training_row_has_makes_no_block():
    rows = [
        Example(row.video_id, frames=row.frames, audio=row.audio, facts=PostFacts(duration_s=9.0))
        for row in ROWS
    ]
    encoder = fitted(rows)
    assert names_of(encoder) == ["meta", "frames", "audio"]
    assert encoder.config.history == "none"
    with pytest.raises(NothingToTrain, match="none of 3 training rows"):
        fitted([Example(i, views_k=1.0) for i in range(3)])
    with pytest.raises(NothingToTrain, match="none of 0 training rows"):
        fitted([])


def test_what_is_switched_off_makes_no_block():
    settings = BlockConfig(
        history="none", use_form=False, use_meta=False, use_account=False, use_sound=False,
        use_traits=False, text_width=0, tags_width=0, words_width=0, screen_width=0,
        sentence_width=0, visual_width=0, frames_width=4, audio_width=0, use_opening=False,
    )  # fmt: skip
    assert names_of(fitted(settings=settings)) == ["frames"]


def test_a_row_has_the_same_numbers_alone_and_among_others(encoder):
    together = encoder.encode(ROWS)
    backwards = encoder.encode(ROWS[::-1])
    for position, row in enumerate(ROWS):
        alone = encoder.encode([row])
        for name, value in alone.values.items():
            assert np.array_equal(value[0], together.values[name][position])
            assert np.array_equal(value[0], backwards.values[name][-1 - position])
            assert alone.present[name][0] == together.present[name][position]


def test_training_numbers_are_standardised(encoder):
    encoded = encoder.encode(ROWS)
    for name in ("text", "tags", "visual", "frames", "meta", "account", "author", "level"):
        known = encoded.values[name][encoded.present[name]]
        known = np.where(known == 0, np.nan, known)  # zero is the mean, and what is not known
        known = known[:, np.nan_to_num(known).std(axis=0) > 1e-6]
        assert known.shape[1], name
        assert np.nanstd(known, axis=0) == pytest.approx(1, abs=0.15), name
        assert np.nanmean(known, axis=0) == pytest.approx(0, abs=0.15), name


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
    assert same(rebuilt.encode(ROWS), encoder.encode(ROWS))


def test_a_models_settings_take_the_sizes_and_keep_the_rest(encoder):
    config = with_sizes(ModernConfig(trees=7, text_buckets=512), encoder)
    assert config.trees == 7
    assert config.widths() == encoder.config.widths()
    assert config.frames_size == 10


def test_its_tensors_stay_as_they_are_when_the_network_moves(encoder):
    class Around(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = encoder
            self.own = nn.Linear(1, 1)

    before = encoder.encode(ROWS)
    moved = Around().to("meta", torch.float16)
    assert moved.own.weight.is_meta
    assert same(moved.encoder.encode(ROWS), before)


def test_few_rows_get_few_columns(encoder):
    config = fitted(ROWS[:16]).config
    assert config.text_width == 1
    assert config.frames_width == 2
    assert encoder.config.frames_width == 10  # as wide as the feature


def test_a_feature_of_another_size_is_refused_with_its_video(encoder):
    with pytest.raises(IncompatibleFeatures, match=r"frames feature of video 3 .* 11 .* reads 10"):
        encoder.encode([replace(ROWS[2], frames=np.zeros(11))])
    with pytest.raises(IncompatibleFeatures, match=r"history of video 3 has 4 numbers"):
        encoder.encode([replace(ROWS[2], history=np.zeros(4))])
    with pytest.raises(IncompatibleFeatures, match="video 3"):
        fitted([*ROWS[:2], replace(ROWS[2], frames=np.zeros(11))])
    with pytest.raises(NotFinite, match="audio feature of video 3"):
        encoder.encode([replace(ROWS[2], audio=np.full((2, 6), np.nan))])
    with pytest.raises(NotFinite, match="opening feature of video 3"):
        encoder.encode([replace(ROWS[2], opening=np.full(3, np.inf))])


@pytest.mark.parametrize(
    "wrong", [{"text_buckets": 0}, {"as_of": "tomorrow"}, {"history": "all"}, {"history": ""}]
)
def test_settings_that_no_encoder_can_have_are_refused(wrong):
    with pytest.raises(BadSetting, match=next(iter(wrong))):
        BlockConfig(**wrong)


def test_a_number_that_is_not_known_is_the_mean_and_the_block_is_there(encoder):
    """NaN inside a block: of an opening, an account, a history."""
    bare = Example(
        1,
        opening=np.array([np.nan, 2, 3], np.float32),
        facts=PostFacts(account=KnownAccount(n_followers=5)),
        history=np.where(np.arange(len(COLUMNS)) == 2, 1.0, np.nan),
    )
    encoded = encoder.encode([bare])
    assert encoded.values["opening"][0, 0] == 0
    assert np.count_nonzero(encoded.values["account"]) == 1
    assert np.count_nonzero(encoded.values["author"]) == 1
    present = {name for name, has in encoded.present.items() if has[0]}
    assert present == {"opening", "account", "author"}


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
        facts = PostFacts(caption=text, hashtags=(text, "cats"), transcript=text, screen=text)
        for values in encoder.encode([Example(1, facts=facts)]).values.values():
            assert np.isfinite(values).all()


def test_silence_and_not_listened_are_two_things(encoder):
    silent, unheard = (Example(1, facts=PostFacts(transcript=said)) for said in ("", None))
    present = encoder.encode([silent, unheard]).present["words"]
    assert present.tolist() == [True, False]


# No label may reach what a model will be judged on, or learn from as if it were known before.


def test_no_field_of_the_facts_is_an_outcome():
    names = {field.name for field in fields(PostFacts)}
    outcomes = ("like", "digg", "share", "comment", "play", "view", "save", "collect")
    assert not [name for name in names if any(outcome in name for outcome in outcomes)]
    assert names == {
        "caption", "hashtags", "author", "posted_at", "duration_s", "width_px", "height_px",
        "transcript", "language", "speech_s", "screen", "topics", "traits", "account", "sound",
        "is_sound_original", "n_sound_videos",
    }  # fmt: skip


def test_no_label_moves_anything(encoder):
    moved = fitted([replace(row, views_k=1e9) for row in ROWS])
    unknown = fitted([replace(row, views_k=None) for row in ROWS])
    for other in (moved, unknown):
        for name, tensor in encoder.state_dict().items():
            assert torch.equal(tensor, other.state_dict()[name]), name


def test_the_number_of_an_account_says_nothing(encoder):
    renamed = [
        replace(row, facts=replace(row.facts, author=row.facts.author and 7**row.facts.author))
        for row in ROWS
    ]
    assert same(fitted(renamed).encode(renamed), encoder.encode(ROWS))


def test_the_hour_counts_and_the_day_does_not(encoder):
    facts = ROWS[0].facts
    weeks = replace(facts, posted_at=facts.posted_at + timedelta(weeks=9))
    hours = replace(facts, posted_at=facts.posted_at + timedelta(hours=9))
    now, later, other = (
        encoder.encode([Example(1, facts=one)]).values["meta"] for one in (facts, weeks, hours)
    )
    assert np.array_equal(now, later)
    assert not np.array_equal(now, other)
