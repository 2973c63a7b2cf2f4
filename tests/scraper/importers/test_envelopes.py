import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scraper.importers.envelopes import by_column, by_number, unfold
from scraper.importers.reading import sniff
from tests.scraper.importers.rows import actor_item, aweme, info, research_item, tiktok_id, web_item

TWO = [web_item(0), web_item(1)]
APPS = [aweme(0), aweme(1)]
OF_2020 = [
    {
        "itemInfos": {
            "id": tiktok_id(n),
            "text": "a caption #dance",
            "createTime": "1762961788",
            "playCount": 44800,
            "diggCount": 5,
            "video": {"videoMeta": {"duration": 15, "width": 576, "height": 1024}},
        },
        "authorInfos": {"uniqueId": f"author{n}"},
        "authorStats": {"followerCount": 7},
        "musicInfos": {"musicId": "7001", "musicName": "A song", "original": False},
        "challengeInfoList": [{"challengeName": "dance"}],
        "textExtra": [],
    }
    for n in range(2)
]
SIGI = {
    "AppContext": {"lang": "en"},
    "ItemModule": {tiktok_id(n): {**web_item(n), "author": f"author{n}"} for n in range(2)},
    "UserModule": {
        "users": {"author0": {"uniqueId": "author0", "verified": True}},
        "stats": {"author0": {"followerCount": 9}},
    },
}


def detail(item):
    return {"itemInfo": {"itemStruct": item}, "statusCode": 0}


def scope(**parts):
    return {"__DEFAULT_SCOPE__": {"webapp.app-context": {"user": None}, **parts}}


ENVELOPES = [
    ("app", {"code": 200, "data": {"aweme_detail": APPS[0]}}, 1),
    ("app", {"aweme_detail": APPS[0], "status_code": 0, "extra": {"now": 1763000000000}}, 1),
    ("app", {"aweme_details": APPS, "extra": {"now": 1763000000000}}, 2),
    ("app", {"data": [{"type": 1, "aweme_info": row} for row in APPS]}, 2),
    ("app", {"data": {"aweme_list": APPS}}, 2),
    ("app", [{"aweme_list": APPS, "has_more": 1}], 2),
    ("web", {"data": [{"type": 1, "item": row, "common": {}} for row in TWO]}, 2),
    ("web", {"data": detail(TWO[0])}, 1),
    ("web", detail(TWO[0]), 1),
    ("web", {"item_list": TWO}, 2),
    ("web", [{"itemList": TWO, "cursor": "1"}, {"itemList": [web_item(2)]}], 3),
    ("web", {"data": OF_2020}, 2),
    ("web", {"body": {"itemListData": OF_2020}}, 2),
    ("web", {"props": {"pageProps": {"videoData": OF_2020[0]}}}, 1),
    ("web", {"props": {"pageProps": {"items": TWO}}}, 2),
    ("web", {"props": {"pageProps": detail(TWO[0])}}, 1),
    ("web", SIGI, 2),
    ("web", scope(**{"webapp.video-detail": detail(TWO[0])}), 1),
    ("web", scope(**{"webapp.updated-items": TWO}), 2),
    ("web", scope(**{"webapp.challenge-detail": {"itemList": TWO}}), 2),
    ("research", [{"data": {"videos": [research_item(n)], "cursor": n}} for n in range(2)], 2),
    ("ytdlp", {"_type": "playlist", "id": "x", "entries": [info(0), info(1)]}, 2),
    ("ytdlp", [{"_type": "playlist", "id": "x", "entries": [info(0), info(1)]}], 2),
    ("actor", {"data": {"items": [actor_item(0), actor_item(1)]}}, 2),
]


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize(("found", "answer", "n"), ENVELOPES)
def test_videos_are_found_in_whatever_they_come_in(files, found, answer, n, indent):
    content = json.dumps(answer, indent=indent)
    videos, [] = files.read("a.json", content)

    assert [video.sighting.tiktok_id for video in videos] == [tiktok_id(k) for k in range(n)]
    assert sniff(files.folder / "a.json") == found
    assert {video.sighting.handle for video in videos} == {f"author{k}" for k in range(n)}
    assert all(video.sighting.views_k for video in videos)


@pytest.mark.parametrize(("found", "answer", "n"), ENVELOPES)
def test_answers_may_stand_on_lines(files, found, answer, n):
    rows = answer if isinstance(answer, list) else [answer]
    content = "".join(json.dumps(row) + "\n" for row in [*rows, *rows])
    videos, [] = files.read("a.jsonl", content)

    assert {video.sighting.tiktok_id for video in videos} == {tiktok_id(k) for k in range(n)}


def test_an_item_of_2020_is_read_as_items_are_today(files):
    [video, _], [] = files.read("a.json", {"data": OF_2020})

    found = video.sighting
    assert (found.caption, found.hashtags) == ("a caption #dance", ("dance",))
    assert (found.duration_s, found.width_px, found.views_k) == (15.0, 576, 44.8)


def test_an_old_state_gives_each_video_what_it_has_of_its_author():
    one, two = unfold(SIGI)

    assert one["author"] == {"uniqueId": "author0", "verified": True}
    assert one["authorStats"] == {"followerCount": 9}
    assert (two["author"], "authorStats" in two) == ({"uniqueId": "author1"}, False)


def test_a_profile_page_gives_each_video_its_accounts_counts():
    user = {"userInfo": {"user": {"uniqueId": "author0"}, "stats": {"followerCount": 5}}}
    state = scope(**{"webapp.user-detail": user, "webapp.updated-items": TWO})

    assert [row.get("authorStats") for row in unfold(state)] == [{"followerCount": 5}, None]


def test_when_an_answer_came_is_known_to_its_videos(files):
    answer = {"aweme_detail": APPS[0], "extra": {"now": 1763000000000}}
    [video], [] = files.read("a.json", answer)

    assert video.is_time_stated
    assert video.sighting.observed_at.timestamp() == 1_763_000_000


def test_a_video_that_is_not_shown_is_said_to_be_so(files):
    state = scope(**{"webapp.video-detail": {"statusCode": 10204, "itemInfo": {}}})
    [_], [row] = files.read("a.json", [detail(TWO[0]), state])

    assert (row.reason, row.is_skip) == ("taken_down", True)
    assert "10204" in row.detail


def test_an_answer_without_a_video_is_counted(files):
    users = {"type": 4, "user_list": [{"user_info": {"uid": "1"}}], "item": {}}
    [_], [row] = files.read("a.json", {"data": [{"type": 1, "item": TWO[0]}, users]})

    assert (row.reason, row.is_skip) == ("no_video", True)


@pytest.mark.parametrize(
    "row",
    [
        web_item(),
        actor_item(),
        aweme(),
        research_item(),
        info(),
        {"item_id": "1", "timestamp_collected": 1, "data": web_item()},
        {"id": "1", "views": 5, "items": [1], "data": {"a": 1}},
        {"url": "x", "views": 5, "data": [{"id": 7}]},
        {"tiktok_id": "1", "item": {"id": "2"}},
    ],
)
def test_a_row_is_no_envelope(row):
    assert unfold(row) is None


NAMES = st.sampled_from(["data", "item", "items", "aweme_detail", "itemInfos", "ItemModule", "id"])
ANYTHING = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=20,
)


@settings(max_examples=200)
@given(st.dictionaries(NAMES | st.just("__DEFAULT_SCOPE__"), ANYTHING, max_size=3))
def test_nothing_that_somebody_sends_ends_it(row):
    found = unfold(row)

    assert found is None or all(isinstance(video, dict) for video in found)


def test_answers_in_answers_without_end_end_somewhere():
    row = {"id": "1"}
    for _ in range(500):
        row = {"data": row}

    assert unfold(row) == []


def test_items_may_stand_under_their_ids(files):
    videos, [] = files.read("a.json", {tiktok_id(n): web_item(n) for n in range(3)})

    assert [video.sighting.tiktok_id for video in videos] == [tiktok_id(n) for n in range(3)]


@pytest.mark.parametrize("row", [{}, {"1": 5}, {"1": {"id": "1"}, "a": {"id": "2"}}])
def test_what_has_no_rows_under_numbers_is_itself(row):
    assert by_number(row) is None
    assert by_column({"views": {"0": 1}, "id": row}) is None
