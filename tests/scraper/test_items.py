import json
import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.facts import AccountFacts, Reactions, SoundFacts, Traits, without_names
from scraper.errors import BadId, PageChanged
from scraper.items import (
    Rejected,
    check_id,
    find_hashtags,
    load_json,
    read_item,
)

NOW = datetime(2026, 11, 23, tzinfo=UTC)
VIDEO = "7571863205253778710"


def item(**changes):
    """An item as listings have it, with what the test changes."""
    plain = {
        "id": VIDEO,
        "desc": "A cat 🐈 #Cats #cute",
        "createTime": 1_762_961_788,
        "author": {"uniqueId": "cat.person_1"},
        "stats": {"playCount": 16_000},
        "statsV2": {"playCount": "15955"},
        "challenges": [{"title": "Cats"}, {"title": "cute"}],
        "textExtra": [{"hashtagName": "cute"}, {"hashtagName": ""}],
        "video": {"duration": 15, "width": 576, "height": 1024},
    }
    return {k: v for k, v in (plain | changes).items() if v is not ...}


def read(**changes):
    return read_item(item(**changes), source="xhr", observed_at=NOW)


def test_reads_what_we_keep_of_a_video():
    found = read()
    assert (found.tiktok_id, found.handle, found.source) == (VIDEO, "cat.person_1", "xhr")
    assert found.caption == "A cat 🐈 #Cats #cute"
    assert found.hashtags == ("cats", "cute")
    assert found.posted_at == datetime(2025, 11, 12, 15, 36, 28, tzinfo=UTC)
    assert (found.duration_s, found.width_px, found.height_px) == (15.0, 576, 1024)
    assert found.observed_at == NOW


def test_prefers_the_exact_count_and_keeps_its_digits():
    found = read()
    assert (found.display_text, found.views_k, found.step_k) == ("15955", 15.955, 0.0)
    rounded = read(statsV2=...)
    assert (rounded.display_text, rounded.views_k, rounded.step_k) == ("16000", 16.0, 0.1)


@pytest.mark.parametrize("count", ["many", -1, 1.5, True, "1e5", [], 10**13, float("inf")])
def test_a_count_that_cannot_be_read_is_missing_and_kept_verbatim(count):
    found = read(statsV2=..., stats={"playCount": count})
    assert (found.views_k, found.step_k, found.display_text) == (None, None, str(count))


def test_times_are_numbers_in_listings_and_texts_on_pages():
    assert read(createTime="1762961788").posted_at == read().posted_at
    assert read(createTime=...).posted_at is None
    assert read(createTime="yesterday").posted_at is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"isAd": True}, "ad"),
        ({"imagePost": {"images": []} | {"title": ""}}, "photo"),
        ({"liveRoomInfo": {"id": 1}}, "live"),
        ({"privateItem": True}, "private"),
        ({"author": {"uniqueId": "x", "privateAccount": True}}, "private"),
        ({"takeDown": 1}, "taken_down"),
        ({"video": {"duration": "0"}}, "no_video"),
        ({"video": {}}, "no_video"),
        ({"video": ...}, "no_video"),
        ({"createTime": "0"}, "emptied"),
        ({"stats": {}, "statsV2": {}}, "emptied"),
    ],
)
def test_what_is_no_public_video_is_rejected_with_the_reason(changes, reason):
    assert read(**changes) == Rejected(reason, VIDEO)


def test_numbers_written_as_text_are_read_too():
    found = read(video={"duration": "15", "width": "576", "height": "1e3"}, takeDown="0")
    assert (found.duration_s, found.width_px, found.height_px) == (15.0, 576, None)


@pytest.mark.parametrize(
    "bad",
    [
        ...,
        None,
        int(VIDEO),
        float(VIDEO),
        "123",
        VIDEO + "\n",
        "7" * 20,
        "-" + VIDEO[1:],
        "٧" * 19,
        "../../etc/passwd",
        str(2**63),
        str(100 << 32),
    ],
)
def test_an_id_that_no_video_can_have_is_rejected(bad):
    assert read(id=bad) == Rejected("bad_id", None)


def test_something_else_than_an_object_is_rejected():
    assert read_item([1], source="xhr", observed_at=NOW) == Rejected("not_an_item", None)


def test_check_id_says_what_ids_look_like():
    assert check_id(VIDEO) == VIDEO
    with pytest.raises(BadId, match="no video id"):
        check_id("1")


def test_captions_are_cleaned_of_what_no_database_takes():
    assert read(desc="a\0b\ud83dc").caption == "abc"
    assert len(read(desc="x" * 20_000).caption) == 10_000
    assert read(desc=None).caption == ""


def test_hashtags_are_found_in_the_caption_if_nowhere_else():
    assert read(challenges=..., textExtra=...).hashtags == ("cats", "cute")
    assert find_hashtags("#中国高铁 and #A_b, # nothing, #A_B") == ("中国高铁", "a_b")


def test_an_odd_author_is_no_author():
    assert read(author="plain").handle == "plain"
    assert read(author={"uniqueId": "<script>"}).handle is None
    assert read(author=...).handle is None


@pytest.mark.parametrize(
    "text", ["", "[1]", "{", '{"a": NaN}', '{"a": -Infinity}', "[" * 200_000, "9" * 5_000]
)
def test_a_body_that_is_no_object_is_refused(text):
    with pytest.raises(PageChanged):
        load_json(text)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(sorted(item())), anything))
def test_whatever_an_item_holds_it_is_read_or_rejected(changes):
    found = read_item(item() | changes, source="xhr", observed_at=NOW)
    if isinstance(found, Rejected):
        assert re.fullmatch("[a-z_]+", found.reason)
    else:
        # What comes out can be stored: text that encodes, numbers in range.
        json.dumps([found.caption, found.hashtags, found.display_text]).encode()
        (found.caption + found.display_text + "".join(found.hashtags)).encode("utf-8")
        assert (found.views_k is None) == (found.step_k is None)


AUTHOR = {"uniqueId": "cat.person_1", "verified": True, "signature": "cats!", "region": "DE"}
MUSIC = {"id": "7016451766297570306", "title": "a song", "authorName": "a band", "original": False}


def test_reads_what_is_shown_of_the_account_best_counts_first():
    shown = {"followerCount": 12_300, "followingCount": 5, "heartCount": 99_000, "videoCount": 7}
    exact = {"followerCount": "12345"}
    found = read(author=AUTHOR, authorStats=shown, authorStatsV2=exact).account
    assert found == AccountFacts(12_345, 5, 99_000, 7, True, 5, "DE")
    assert read(authorStats={"heart": 4}).account == AccountFacts(n_likes=4)
    assert read().account is None


@pytest.mark.parametrize("count", ["many", -1, 1.5, True, [], 10**16, float("nan"), None])
def test_a_count_of_the_account_that_cannot_be_is_not_given(count):
    assert read(authorStats={"followerCount": count, "videoCount": 3}).account.n_followers is None


def test_reads_the_sound_and_none_without_an_id():
    found = read(music={**MUSIC, "duration": 30}).sound
    assert found == SoundFacts(MUSIC["id"], "a song", "a band", False, 30.0)
    for odd in (..., None, {}, {"id": ""}, {"id": "0"}, {"id": "../../x"}, "a song"):
        assert read(music=odd).sound is None


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({}, ("a song", "a band")),
        ({"original": True, "title": "original sound - cat.person_1"}, (None, None)),
        ({"original": True}, (None, None)),
        ({"original": None}, ("a song", "a band")),
        ({"original": None, "title": "Originalton - Katze"}, (None, None)),
        ({"original": None, "title": "原声 - 猫"}, (None, None)),
        ({"original": None, "title": ""}, (None, None)),
    ],
)
def test_whose_own_sound_it_is_is_left_out(changes, kept):
    found = without_names(read(music={**MUSIC, **changes}).sound)
    assert (found.title, found.author) == kept
    assert found.platform_id == MUSIC["id"]


def test_reads_reactions_each_from_where_it_can_be_read():
    rounded = {"playCount": 16_000, "diggCount": 2_500, "commentCount": 7, "shareCount": "x"}
    exact = {"playCount": "15955", "diggCount": "2512", "collectCount": "0"}
    found = read(stats=rounded, statsV2=exact).reactions
    assert found == Reactions(n_likes=2_512, n_comments=7, n_shares=None, n_saves=0)
    assert read(stats={"playCount": 1}, statsV2=...).reactions is None


def test_reads_what_the_post_is():
    named = [{"userUniqueId": "a"}, {"hashtagName": "x"}, {"userUniqueId": "b"}]
    found = read(
        textLanguage="en",
        locationCreated="US",
        isAd=False,
        duetInfo={"duetFromId": "0"},
        stitchInfo={"stitchFromId": VIDEO},
        textExtra=named,
    ).traits
    assert found == Traits("en", "US", False, False, True, 2)
    assert read(isPaidPartnership=True).traits.is_ad is True
    assert read(textLanguage="un", locationCreated=5).traits.language is None
    assert read(textExtra=..., desc="see @a.b and @c, not me@mail").traits.n_mentions == 2
