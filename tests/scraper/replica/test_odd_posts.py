import json
import re
from collections import Counter

import pytest

from scraper.replica.odd_posts import BAD_IDS, MISSING, SCRIPTS


def is_marked(item, fault):
    """Whether a listed item is of the kind that a fault makes."""
    match fault:
        case "photo_post":
            return "imagePost" in item and item["video"]["duration"] == 0
        case "ad":
            return item["isAd"]
        case "pinned":
            return item.get("isPinnedItem", False)
        case "live_room":
            return "liveRoomInfo" in item
        case "private":
            return item["privateItem"] or item["secret"] or item["forFriend"]
        case "removed":
            return item.get("takeDown") == 1
    return False


@pytest.mark.parametrize("fault", ["photo_post", "ad", "pinned", "live_room", "private", "removed"])
def test_one_post_in_five_is_of_another_kind(visitor, fault):
    assert len(visitor.struck) == 14
    visitor.site.set_fault("sports", fault)
    items = [item for cursor in (0, 30, 60) for item in visitor.items(cursor)]
    marked = {item["id"] for item in items if is_marked(item, fault)}
    assert (len(items), marked) == (70, visitor.struck)


@pytest.mark.ffmpeg
@pytest.mark.parametrize(
    ("fault", "status"), [("private", 10216), ("removed", 10204), ("region_locked", 10231)]
)
def test_a_withheld_video_has_a_status_on_its_own_page(visitor, fault, status):
    visitor.site.set_fault("sports", fault)
    detail = visitor.scope(visitor.video(visitor.odd))["webapp.video-detail"]
    assert detail["statusCode"] == status
    assert "itemInfo" not in detail
    assert visitor.struct(visitor.plain)["id"] == visitor.plain.tiktok_id


@pytest.mark.ffmpeg
@pytest.mark.parametrize("fault", ["photo_post", "ad", "pinned", "live_room"])
def test_an_odd_post_is_the_same_on_its_own_page(visitor, fault):
    visitor.site.set_fault("sports", fault)
    assert is_marked(visitor.struct(visitor.odd), fault)
    assert not is_marked(visitor.struct(visitor.plain), fault)


@pytest.mark.ffmpeg
def test_the_file_of_a_removed_video_is_denied(visitor):
    path = visitor.struct(visitor.odd)["video"]["playAddr"].removeprefix("http://replica.test")
    visitor.site.set_fault("sports", "removed")
    assert visitor.site.answer(visitor.ask(path.partition("?")[0])).status == 403
    assert visitor.file(visitor.plain).status == 200


def test_keys_are_missing_from_every_second_item(visitor):
    whole = set(visitor.items()[0])
    visitor.site.set_fault("sports", "missing_keys")
    missing = [whole - set(item) for item in visitor.items()]
    assert not any(missing[::2])
    assert [set(names) for names in MISSING] == missing[1::2][: len(MISSING)]


def test_every_number_may_be_text(visitor):
    visitor.site.set_fault("sports", "string_numbers")
    answer = json.loads(visitor.part().body)
    assert answer["statusCode"] == "0"
    for item in answer["itemList"]:
        assert isinstance(item["createTime"], str)
        assert isinstance(item["video"]["duration"], str)
        assert all(isinstance(n, str) for n in item["stats"].values())
        assert item["isAd"] is False


def test_a_caption_may_be_as_long_as_a_book(visitor):
    visitor.site.set_fault("sports", "huge_caption:5000")
    lengths = {item["id"]: len(item["desc"]) for item in visitor.items()}
    odd = visitor.struck
    assert all((n >= 5_000) is (tiktok_id in odd) for tiktok_id, n in lengths.items())


def test_ids_may_lead_out_of_a_folder(visitor):
    visitor.site.set_fault("sports", "path_id")
    ids = [item["id"] for cursor in (0, 30, 60) for item in visitor.items(cursor)]
    bad = [number for number in ids if not re.fullmatch("[0-9]{19}", number)]
    assert len(bad) == 14
    assert set(bad) == set(BAD_IDS)


@pytest.mark.parametrize(
    ("fault", "written"), [("nul", r"a\u0000b"), ("lone_surrogate", r"a\ud83db")]
)
def test_captions_and_hashtags_may_hold_what_no_text_should(visitor, fault, written):
    visitor.site.set_fault("sports", fault)
    body = visitor.part().body.decode("ascii")
    # In a caption, a challenge and a place in the text, each in 6 of 30.
    assert body.count(written) == 18
    assert len(json.loads(body)["itemList"]) == 30


def test_counts_may_be_no_numbers(visitor):
    visitor.site.set_fault("sports", "nan:0")
    body = visitor.part().body.decode()
    assert Counter(re.findall(r"-?(?:NaN|Infinity)\b", body)) == {
        "NaN": 4,
        "Infinity": 4,
        "-Infinity": 4,
    }
    visitor.site.set_fault("sports", "nan")
    assert b"NaN" not in visitor.part(0).body
    assert b"NaN" in visitor.part(30).body


def test_counts_may_be_beyond_every_type(visitor):
    visitor.site.set_fault("sports", "huge_numbers:40")
    odd = [i for i in visitor.items() if i["id"] in visitor.struck]
    counts = [item["stats"]["playCount"] for item in odd]
    assert counts == [10**40 - 1, -5, 2**63, float("inf"), 1.5, True]
    visitor.site.set_fault("sports", "huge_numbers:5000")
    with pytest.raises(ValueError, match="digits"):
        visitor.items()


@pytest.mark.ffmpeg
def test_a_caption_of_markup_ends_no_script(visitor):
    visitor.site.set_fault("sports", "script_caption")
    assert [item["desc"] for item in visitor.items()] == [
        SCRIPTS[i % len(SCRIPTS)] for i in range(30)
    ]
    page = visitor.video(visitor.plain)
    position = visitor.listed.index(visitor.plain)
    assert visitor.struct(visitor.plain)["desc"] == SCRIPTS[position % len(SCRIPTS)]
    assert b"<script>alert(1)" not in page.body
