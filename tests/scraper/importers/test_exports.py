import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from catalog.facts import AccountFacts, Reactions, SoundFacts, Traits
from scraper.importers.facts import grouped, readers
from scraper.importers.reading import read_path, sniff
from scraper.importers.report import ImportReport
from scraper.importers.video import ImportOptions
from tests.scraper.importers.rows import (
    FIRST_ID,
    WRITTEN_AT,
    actor_item,
    aweme,
    info,
    parts,
    research_item,
    split,
    tiktok_id,
    web_item,
)

# The environment as it was before the tests hide the developer's own settings in it.
DEFAULT = Path(__file__).resolve().parents[4] / "shared" / "data"
SHARED = Path(os.environ.get("VIEWCAST_DATA", DEFAULT))
TRENDING = SHARED / "trending_2020.json"


@pytest.mark.parametrize("content", [[actor_item()], {"collector": [actor_item()]}, actor_item()])
def test_an_item_of_the_family_is_read(files, content):
    [video], [] = files.read("a.json", content)

    found = video.sighting
    assert (found.tiktok_id, found.handle, found.caption) == (tiktok_id(), "author0", "a caption")
    assert (found.display_text, found.views_k, found.step_k) == ("44800", 44.8, 0.1)
    assert (found.hashtags, found.duration_s, found.width_px) == (("volleyball",), 15.0, 576)
    assert (found.observed_at, video.is_time_stated) == (WRITTEN_AT, False)
    assert video.url is None


def test_an_actor_may_say_when_it_looked(files):
    item = actor_item(createTime=None, createTimeISO="2025-11-12T15:36:28.000Z")
    [video], [] = files.read("a.json", [item | {"scrapedAt": "2025-11-13T00:00:00.000Z"}])

    assert video.sighting.posted_at == datetime(2025, 11, 12, 15, 36, 28, tzinfo=UTC)
    assert video.sighting.observed_at == datetime(2025, 11, 13, tzinfo=UTC)
    assert video.is_time_stated


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"isAd": True}, "ad"),
        ({"isSlideshow": True}, "photo"),
        ({"videoMeta": {"duration": 0}}, "no_video"),
        ({"playCount": None}, "no_count"),
        ({"playCount": -1}, "bad_count"),
        ({"playCount": True}, "bad_count"),
        ({"createTime": 2_000_000_000}, "bad_time"),
        ({"webVideoUrl": "https://www.tiktok.com/@a/video/7571863205253778799"}, "bad_id"),
    ],
)
def test_what_an_actor_gives_that_is_no_plain_video_is_refused_by_reason(files, changes, reason):
    [_], [row] = files.read("a.json", [actor_item(1), actor_item(**changes)])

    assert row.reason == reason


def test_an_error_that_an_actor_noted_is_no_item(files):
    [_], [row] = files.read("a.json", [actor_item(), {"error": "Not found", "url": "x"}])

    assert row.reason == "not_an_item"
    assert "Not found" in row.detail


@pytest.mark.skipif(not TRENDING.is_file(), reason=f"there is no {TRENDING.name}")
def test_a_real_data_set_is_read_whole():
    videos, rejects = split(read_path(TRENDING, ImportOptions()))

    assert (sniff(TRENDING), len(videos), rejects) == ("actor", 1_000, [])
    assert len({video.sighting.tiktok_id for video in videos}) == 1_000
    assert len({video.sighting.handle for video in videos}) == 802


@pytest.mark.parametrize(
    "content",
    [
        [research_item()],
        {"data": {"videos": [research_item()], "cursor": 100}, "error": {"code": "ok"}},
        research_item(),
    ],
)
def test_an_answer_is_read_with_its_exact_count(files, content):
    [video], [] = files.read("a.json", content)

    found = video.sighting
    assert (found.tiktok_id, found.handle, found.hashtags) == (tiktok_id(), "author0", ("dance",))
    assert (found.display_text, found.views_k, found.step_k) == ("44800", 44.8, 0.0)
    assert found.duration_s == 15.0


def test_every_whole_number_is_an_exact_id(files):
    whole = FIRST_ID // 1024 * 1024
    [video], [] = files.read("a.json", [research_item(id=whole)])

    assert video.sighting.tiktok_id == str(whole)


def test_hashtags_may_stand_in_a_list_of_their_own(files):
    item = research_item(hashtag_names=None, hashtag_info_list=[{"hashtag_name": "Fun"}])
    [video], [] = files.read("a.json", [item])

    assert video.sighting.hashtags == ("fun",)


def test_a_count_is_never_taken_for_zero(files):
    [_], [row] = files.read("a.json", [research_item(), research_item(view_count=None)])

    assert row.reason == "no_count"


def test_an_answer_of_the_app_is_read(files):
    [video], [] = files.read("a.json", {"aweme_list": [aweme()], "has_more": 1})

    found = video.sighting
    assert (found.tiktok_id, found.handle, found.hashtags) == (tiktok_id(), "author0", ("dance",))
    assert (found.views_k, found.step_k, found.duration_s) == (44.8, 0.0, 15.033)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"is_ads": True}, "ad"),
        ({"image_post_info": {"images": []}}, "photo"),
        ({"status": {"private_status": 1}}, "private"),
        ({"status": {"is_delete": True}}, "taken_down"),
        ({"video": {"duration": 0}}, "no_video"),
        ({"statistics": {}}, "no_count"),
        ({"aweme_id": None}, "bad_id"),
    ],
)
def test_what_an_app_feed_gives_that_is_no_plain_video_is_refused_by_reason(files, changes, reason):
    [_], [row] = files.read("a.json", [aweme(1), aweme(**changes)])

    assert row.reason == reason


def test_a_length_that_no_float_can_be_is_no_length(files):
    [video], [] = files.read("a.json", [aweme(video={"duration": 10**4_000})])

    assert video.sighting.duration_s is None


@pytest.mark.parametrize(
    "content",
    [
        [web_item()],
        {"itemList": [web_item()], "hasMore": True, "cursor": "30"},
        {"items": [web_item()]},
        web_item(),
        {"itemInfo": {"itemStruct": web_item()}},
    ],
)
def test_an_item_is_read_from_every_wrapping(files, content):
    [video], [] = files.read("a.json", content)

    found = video.sighting
    assert (found.tiktok_id, found.handle) == (tiktok_id(), "author0")
    assert (found.display_text, found.views_k, found.step_k) == ("1776621", 1776.621, 0.0)
    assert (found.hashtags, found.duration_s) == (("dance",), 15.0)
    assert (found.width_px, found.height_px) == (576, 1024)
    assert (found.source, video.platform, video.line) == ("import", "tiktok", 1)
    assert found.posted_at == datetime(2025, 11, 12, 15, 36, 28, tzinfo=UTC)
    assert (found.observed_at, video.is_time_stated) == (WRITTEN_AT, False)


def test_a_collected_line_says_when_it_was_collected(files):
    lines = [
        {
            "nav_index": n,
            "item_id": tiktok_id(n),
            "timestamp_collected": 1763000000123,
            "source_platform": "tiktok.com",
            "data": web_item(n),
        }
        for n in range(2)
    ]
    text = "\n".join(json.dumps(line) for line in lines)

    videos, [] = files.read("a.ndjson", text)

    assert [video.line for video in videos] == [1, 2]
    assert {video.is_time_stated for video in videos} == {True}
    assert videos[0].sighting.observed_at == datetime(2025, 11, 13, 2, 13, 20, 123000, tzinfo=UTC)


def test_a_tool_may_note_the_time_beside_the_item(files):
    noted = web_item(__import_meta={"timestamp_collected": 1763000000000})

    [video], [] = files.read("a.json", [noted])

    assert video.sighting.observed_at == datetime(2025, 11, 13, 2, 13, 20, tzinfo=UTC)


def test_the_id_says_the_time_that_an_item_does_not(files):
    [video], [] = files.read("a.json", [web_item(createTime=None)])

    assert video.sighting.posted_at == datetime(2025, 11, 12, 15, 36, 23, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"isAd": True}, "ad"),
        ({"imagePost": {"images": [1]}}, "photo"),
        ({"liveRoomInfo": {"a": 1}}, "live"),
        ({"privateItem": True}, "private"),
        ({"video": {"duration": 0}}, "no_video"),
        ({"stats": {}, "statsV2": {}}, "emptied"),
        ({"id": "1"}, "bad_id"),
        ({"id": 7.5e18}, "bad_id"),
        ({"stats": {"playCount": "many"}, "statsV2": {}}, "bad_count"),
        ({"stats": {"diggCount": 1}, "statsV2": {}}, "no_count"),
        ({"source_platform": "instagram.com"}, "other_site"),
    ],
)
def test_what_is_no_plain_video_is_refused_by_reason(files, changes, reason):
    [video], [row] = files.read("a.json", [web_item(1), web_item(**changes)])

    assert (row.reason, video.sighting.tiktok_id) == (reason, tiktok_id(1))
    assert row.detail
    assert row.is_skip == (reason in {"ad", "photo", "live", "private", "no_video", "emptied"})


def test_a_whole_number_that_no_float_could_be_is_a_good_id(files):
    [video], [] = files.read("a.json", [web_item(id=int(tiktok_id()))])

    assert video.sighting.tiktok_id == tiktok_id()


def test_an_item_whose_video_was_left_out_is_a_video(files):
    item = web_item()
    del item["video"]

    [video], [] = files.read("a.json", [item])

    assert (video.sighting.views_k, video.sighting.duration_s) == (1776.621, None)


def test_zeros_in_place_of_an_accounts_counts_are_not_taken():
    zeros = {"followers": 0, "following": 0, "author_likes": 0, "author_posts": 0}

    assert grouped(zeros)["account"] is None
    assert grouped({**zeros, "verified": True})["account"] == AccountFacts(is_verified=True)
    assert grouped({**zeros, "author_posts": 1})["account"].n_followers == 0


def test_an_unknown_language_is_none():
    assert readers(None)["language"]("un") is None
    assert readers(None)["language"]("en") == "en"


def test_an_actors_item_gives_all_it_knows(files):
    row = actor_item(
        authorMeta={
            "name": "someone",
            "fans": "1.2M",
            "following": 3,
            "heart": 400,
            "video": 5,
            "verified": True,
            "signature": "hello",
        },
        musicMeta={
            "musicId": "7001",
            "musicName": "A song",
            "musicAuthor": "A band",
            "musicOriginal": False,
            "duration": 60,
        },
        diggCount=1,
        shareCount=2,
        commentCount=3,
        collectCount=4,
        textLanguage="en",
        isSponsored=True,
        locationCreated="US",
        mentions=["@x"],
    )
    [video], [] = files.read("a.json", [row])

    found = video.sighting
    assert found.account == AccountFacts(1_200_000, 3, 400, 5, is_verified=True, bio_chars=5)
    assert found.sound == SoundFacts("7001", "A song", "A band", False, 60.0)
    assert found.reactions == Reactions(1, 3, 2, 4)
    assert found.traits == Traits("en", "US", is_ad=True, n_mentions=1)


def test_an_answer_of_the_research_api_gives_all_it_knows(files):
    row = research_item(
        like_count=1,
        comment_count=2,
        share_count=3,
        favorites_count=4,
        music_id=6900000000000000001,
        is_stem_verified=True,
        video_mention_list=["a"],
    )
    [video], [] = files.read("a.json", [row])

    found = video.sighting
    assert found.reactions == Reactions(1, 2, 3, 4)
    assert found.sound == SoundFacts("6900000000000000001")
    assert found.traits == Traits(n_mentions=1)
    assert found.account == AccountFacts(
        region="DE"
    )  # a verified claim of science is no verified account


def test_an_item_of_the_app_gives_all_it_knows(files):
    row = aweme(
        author={
            "unique_id": "someone",
            "follower_count": 10,
            "following_count": 20,
            "total_favorited": 30,
            "aweme_count": 40,
            "custom_verify": "verified account",
            "signature": "",
        },
        statistics={
            "play_count": 44800,
            "digg_count": 1,
            "comment_count": 2,
            "share_count": 3,
            "collect_count": 4,
        },
        music={
            "mid": "7002",
            "title": "A song",
            "author": "A band",
            "duration": 30,
            "user_count": 9,
        },
        desc_language="de",
        region="DE",
        text_extra=[{"hashtag_name": "fun"}, {"user_id": "5", "type": 0}],
    )
    [video], [] = files.read("a.json", [row])

    found = video.sighting
    assert found.account == AccountFacts(10, 20, 30, 40, is_verified=True, bio_chars=None)
    assert found.sound == SoundFacts("7002", "A song", "A band", None, 30.0, 9)
    assert found.reactions == Reactions(1, 2, 3, 4)
    assert found.traits == Traits("de", "DE", n_mentions=1)


def test_ytdlp_gives_all_it_knows(files):
    more = {"channel_follower_count": 5, "like_count": 1, "comment_count": 2, "repost_count": 3}
    [video], [] = files.read("a.info.json", info(**more, save_count=4, track="A song"))

    found = video.sighting
    assert found.account == AccountFacts(n_followers=5)
    assert found.reactions == Reactions(1, 2, 3, 4)
    assert found.sound is None  # it has no id


def test_pairs_may_have_plain_names_beside_them(files):
    row = {"id": actor_item()["id"], "views": 5, "followers": "10K", "likes": 3, "sound_id": "77"}
    [video], [] = files.read("a.json", [row])

    found = video.sighting
    assert (found.account.n_followers, found.reactions.n_likes) == (10_000, 3)
    assert found.sound == SoundFacts("77")


def test_a_file_in_parts_is_read_with_the_video_beside_it(files):
    files.write(f"tiktok_metadata_{tiktok_id()}.json", parts())
    files.write(f"tiktok_metadata_{tiktok_id(1)}.json", parts(1))
    media = files.write(f"tiktok_video_{tiktok_id()}.mp4", "x")
    videos, [] = split(read_path(files.folder, ImportOptions()))

    found = videos[0].sighting
    assert sniff(files.folder / f"tiktok_metadata_{tiktok_id()}.json") == "parts"
    assert [video.media for video in videos] == [media, None]
    assert (found.tiktok_id, found.handle, found.hashtags) == (tiktok_id(), "author0", ("dance",))
    assert (found.views_k, found.step_k, found.duration_s) == (44.8, 0.1, 15.0)
    assert found.reactions == Reactions(1, 2, 3, 4)
    assert found.account == AccountFacts(is_verified=False, bio_chars=5)
    assert found.sound == SoundFacts("6740249715385829378", "A song", "A band", False)
    assert found.traits == Traits(region="UA")


@pytest.mark.parametrize(
    ("part", "changes", "reason"),
    [
        ("video_metadata", {"is_ad": True}, "ad"),
        ("video_metadata", {"secret": True}, "private"),
        ("file_metadata", {"duration": 0}, "no_video"),
        ("file_metadata", {"picture_formats": [{"imageWidth": 1}], "duration": 0}, "photo"),
    ],
)
def test_what_is_in_parts_and_no_plain_video_is_refused(files, part, changes, reason):
    row = parts()
    [_], [found] = files.read("a.json", [parts(1), {**row, part: {**row[part], **changes}}])

    assert found.reason == reason


def flat_item(number=0, **changes):
    return {
        "aweme_id": "v12044gd0000",
        "video_id": tiktok_id(number),
        "title": "a caption #dance",
        "duration": 15,
        "wmplay": "u",
        "play_count": 1_234_567,
        "digg_count": 44,
        "create_time": 1762961788,
        "music_info": {"id": "7123456789012345678", "title": "A song", "duration": 15},
        "author": {"unique_id": f"author{number}"},
        **changes,
    }


def test_services_write_the_apps_posts_flat(files):
    alone = {k: v for k, v in flat_item().items() if k != "aweme_id"} | {"id": tiktok_id()}
    del alone["video_id"]
    answers = [
        {"code": 0, "data": {"videos": [flat_item(), flat_item(1)]}},
        {"data": alone},
        [alone],
    ]
    for content in answers:
        videos, [] = files.read("a.json", content)

        assert [v.sighting.views_k for v in videos] == [1234.567] * len(videos)
        assert videos[0].sighting.tiktok_id == tiktok_id()
        assert videos[0].sighting.sound.platform_id == "7123456789012345678"
        assert videos[0].sighting.reactions.n_likes == 44


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"is_ad": True}, "ad"), ({"images": ["u"]}, "photo"), ({"duration": 0}, "no_video")],
)
def test_what_such_a_service_gives_that_is_no_plain_video_is_refused(files, changes, reason):
    [], [row] = files.read("a.json", [flat_item(**changes)])
    assert row.reason == reason


@pytest.mark.parametrize(
    "changes",
    [
        {"share_url": "https://www.iesdouyin.com/share/video/7571863205253778711/"},
        {"share_info": {"share_url": "https://www.iesdouyin.com/share/video/1"}},
        {"platform": "douyin"},
    ],
)
def test_douyin_tells_no_views_and_is_no_tiktok(files, changes):
    [], [row] = files.read("a.json", [aweme(statistics={"play_count": 0}, **changes)])
    assert (row.reason, "douyin" in row.detail) == ("other_site", True)


def test_the_time_of_collecting_is_told_in_the_report(files):
    line = {"item_id": tiktok_id(), "timestamp_collected": 1_763_000_000_000, "data": web_item()}
    report = ImportReport()
    list(read_path(files.write("a.json", [line, web_item(1)]), ImportOptions(report=report)))

    [row] = [row for row in report.as_dict()["fields"] if row["field"] == "observed_at"]
    assert (row["n_read"], row["n_empty"], row["from"]) == (1, 1, "timestamp_collected")


def test_whom_a_caption_names_is_not_told_by_an_item_without_a_caption(files):
    bare = {"id": tiktok_id(), "stats": {"playCount": 5}}
    videos, [] = files.read("a.json", [bare, bare | {"id": tiktok_id(1), "desc": "hi @bob"}])

    traits = [video.sighting.traits for video in videos]
    assert [t and t.n_mentions for t in traits] == [None, 1]
