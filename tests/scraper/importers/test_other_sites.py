import json
from datetime import UTC, datetime

import pytest

from scraper.importers.reading import sniff


def youtube_item(number=0, **changes):
    return {
        "kind": "youtube#video",
        "id": f"dQw4w9WgXc{number}",
        "snippet": {
            "publishedAt": "2025-11-12T15:36:28Z",
            "channelId": "UC1",
            "title": "A title",
            "description": "a caption #shorts",
            "tags": ["Music"],
            "defaultAudioLanguage": "en",
        },
        "contentDetails": {"duration": "PT1M4S"},
        "statistics": {"viewCount": "44800", "likeCount": "7", "commentCount": "3"},
        **changes,
    }


def test_an_answer_of_youtubes_api_is_read(files):
    answer = {"kind": "youtube#videoListResponse", "items": [youtube_item(0), youtube_item(1)]}
    [video, _], [] = files.read("a.json", answer)

    found = video.sighting
    assert sniff(files.folder / "a.json") == "youtube"
    assert (video.platform, found.tiktok_id) == ("youtube", "dQw4w9WgXc0")
    assert (found.display_text, found.views_k, found.step_k) == ("44800", 44.8, 0.0)
    assert (found.duration_s, found.hashtags) == (64.0, ("music", "shorts"))
    assert (found.reactions.n_likes, found.reactions.n_comments) == (7, 3)
    assert (found.traits.language, found.account) == ("en", None)


@pytest.mark.parametrize(
    ("text", "length_s"),
    [("PT34S", 34.0), ("PT1H2M3S", 3_723.0), ("PT2M", 120.0), ("P1DT1S", None), ("x", None)],
)
def test_a_length_of_iso_8601_is_read(files, text, length_s):
    [video], [] = files.read("a.json", [youtube_item(contentDetails={"duration": text})])

    assert video.sighting.duration_s == length_s


def test_a_search_list_says_how_to_have_counts(files):
    row = {"kind": "youtube#searchResult", "id": {"kind": "youtube#video", "videoId": "x"}}
    channel = {"kind": "youtube#searchResult", "id": {"kind": "youtube#channel", "channelId": "c"}}
    items = [row | {"snippet": {}}, channel | {"snippet": {}}]
    [], rejects = files.read("a.json", {"items": items})

    assert [(row.reason, row.is_skip) for row in rejects] == [
        ("no_count", False),
        ("no_video", True),
    ]
    assert "videos.list?part=snippet,contentDetails,statistics" in rejects[0].detail


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"snippet": {"liveBroadcastContent": "live"}}, "live"),
        ({"status": {"privacyStatus": "private"}}, "private"),
        ({"statistics": {"likeCount": "5"}}, "no_count"),
    ],
)
def test_what_youtube_gives_that_is_no_public_video_is_refused(files, changes, reason):
    [_], [row] = files.read("a.json", [youtube_item(1), youtube_item(**changes)])

    assert row.reason == reason


def reel(number=0, **changes):
    post = {
        "pk": f"3{number}",
        "code": f"Cxyz{number}",
        "media_type": 2,
        "product_type": "clips",
        "play_count": 44800,
        "like_count": 7,
        "comment_count": 3,
        "caption": {"text": "a caption #dance"},
        "taken_at": 1762961788,
        "user": {"username": f"author{number}", "is_verified": False},
        "video_duration": 15.5,
        "original_width": 720,
        "original_height": 1280,
        **changes,
    }
    return {
        "nav_index": 1,
        "item_id": post["pk"],
        "timestamp_collected": 1763000000000,
        "source_platform": "instagram.com",
        "data": post,
    }


def test_a_reel_that_zeeschuimer_took_is_read(files):
    text = "".join(json.dumps(reel(n)) + "\n" for n in range(3))
    videos, [] = files.read("a.ndjson", text)

    found = videos[0].sighting
    assert sniff(files.folder / "a.ndjson") == "instagram"
    assert (videos[0].platform, found.tiktok_id, found.handle) == ("instagram", "Cxyz0", "author0")
    assert videos[0].url == "https://www.instagram.com/reel/Cxyz0/"
    assert (found.views_k, found.duration_s, found.width_px) == (44.8, 15.5, 720)
    assert (found.caption, found.hashtags) == ("a caption #dance", ("dance",))
    assert found.observed_at == datetime(2025, 11, 13, 2, 13, 20, tzinfo=UTC)
    assert (found.reactions.n_likes, found.reactions.n_comments) == (7, 3)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"media_type": 1}, "photo"),
        ({"media_type": 8}, "photo"),
        ({"ad_id": "5"}, "ad"),
        ({"play_count": None}, "no_count"),
    ],
)
def test_what_is_no_reel_is_refused(files, changes, reason):
    text = "".join(json.dumps(row) + "\n" for row in (reel(1), reel(**changes)))
    [_], [row] = files.read("a.ndjson", text)

    assert row.reason == reason


def test_a_post_of_the_sites_other_form_is_read(files):
    post = {
        "shortcode": "Cabc",
        "is_video": True,
        "video_view_count": 5,
        "edge_media_to_caption": {"edges": [{"node": {"text": "words"}}]},
        "owner": {"username": "someone"},
        "taken_at_timestamp": 1762961788,
        "dimensions": {"width": 720, "height": 1280},
    }
    line = {**reel(), "data": post}
    [video], [] = files.read("a.json", [line])

    found = video.sighting
    assert (found.tiktok_id, found.caption, found.handle) == ("Cabc", "words", "someone")


def test_lines_of_other_sites_are_refused_by_name(files):
    line = {"item_id": "1", "timestamp_collected": 1, "source_platform": "x.com", "data": {"id": 1}}
    [], [row] = files.read("a.json", [line])

    assert (row.reason, "x.com" in row.detail) == ("other_site", True)


def test_4cat_lays_instagrams_posts_flat_with_a_note_beside(files):
    note = {"source_platform": "instagram.com", "timestamp_collected": 1_763_000_000_000}
    post = {"code": "C9abcDEfgH1", "media_type": 2, "play_count": 4500, "taken_at": 1_762_961_788}

    [video], [] = files.read("a.ndjson", json.dumps(post | {"__import_meta": note}) + "\n")

    assert (video.platform, video.sighting.tiktok_id) == ("instagram", "C9abcDEfgH1")
    assert video.sighting.observed_at == datetime.fromtimestamp(1_763_000_000, UTC)
