import pytest

from scraper.errors import BadColumns
from scraper.importers.tables.columns import (
    SYNONYMS,
    find_columns,
    find_spread,
    n_known,
    plain_name,
)


def test_no_name_means_two_things():
    names = [name for synonyms in SYNONYMS.values() for name in synonyms]
    assert len(set(names)) == len(names)
    assert all(plain_name(name) == name for name in names)


@pytest.mark.parametrize(
    "header",
    [
        ["id", "playCount"],
        ["video_id", "View Count"],
        ["Video ID", "plays"],
        ["aweme_id", "statistics.play_count"],
        ["tiktok_url", "views"],
        ["id", "views_k"],
    ],
)
def test_columns_are_known_by_the_names_that_tools_give_them(header):
    assert set(find_columns(header, {}).values()) == {0, 1}


def test_the_person_may_say_which_column_is_which():
    header = ["nr", "views", "reach"]
    assert find_columns(header, {"id": "nr", "views": "reach"}) == {"id": 0, "views": 2}


@pytest.mark.parametrize(
    ("header", "wanted", "said"),
    [
        (["name", "views"], {}, "no column for id.*'name'"),
        (["id", "likes"], {}, "no column for views"),
        (["id", "video_id", "views"], {}, "may both be id"),
        (["id", "views", "playCount"], {}, "'views' and 'playCount' may both be views"),
        (["id", "views"], {"views": "reach"}, "no column 'reach'"),
        (["id", "n", "n"], {"views": "n"}, "2 columns 'n'"),
        (["id", "views"], {"reach": "views"}, "no field 'reach'"),
        ([], {}, "no column for id"),
    ],
)
def test_what_is_not_sure_is_not_guessed(header, wanted, said):
    with pytest.raises(BadColumns, match=said):
        find_columns(header, wanted)


def test_known_names_are_counted():
    assert n_known(["id", "views", "colour"]) == 2


# As the tools themselves write them.
PYKTOK = """video_id video_timestamp video_duration video_locationcreated suggested_words
video_diggcount video_sharecount video_commentcount video_playcount video_description video_is_ad
video_stickers author_username author_name author_followercount author_followingcount
author_heartcount author_videocount author_diggcount author_verified"""
FOUR_CAT = """id thread_id author author_full author_followers author_likes author_videos body
timestamp unix_timestamp is_duet is_ad is_paid_partnership music_name music_id music_author
tiktok_url likes comments shares plays hashtags location_created stickers effects"""
APIFY = """authorMeta.name authorMeta.nickName authorMeta.fans authorMeta.heart authorMeta.video
authorMeta.verified authorMeta.signature collectCount commentCount createTimeISO diggCount
hashtags/0/name hashtags/1/name id isAd isSponsored mentions/0 mentions/1 musicMeta.musicId
musicMeta.musicName musicMeta.musicAuthor musicMeta.musicOriginal playCount shareCount text
textLanguage videoMeta.duration webVideoUrl"""
KAGGLE_YOUTUBE = """video_id trending_date title channel_title category_id publish_time tags views
likes dislikes comment_count thumbnail_link description"""
KAGGLE_TIKTOK = """video_id video_duration_sec video_transcription_text verified_status
video_view_count video_like_count video_share_count video_comment_count"""
OURS = """tiktok_id platform url caption hashtags author_key posted_at duration_s observed_at
views_text views_k step_k source is_ad"""
ANALYST = "user_name video_id video_desc video_time video_length n_plays"


@pytest.mark.parametrize(
    ("header", "mapping", "left"),
    [
        (
            PYKTOK,
            {
                "author": "author_username",
                "followers": "author_followercount",
                "following": "author_followingcount",
                "author_likes": "author_heartcount",
                "author_posts": "author_videocount",
                "verified": "author_verified",
                "likes": "video_diggcount",
                "region": "video_locationcreated",
                "posted_at": "video_timestamp",
                "ad": "video_is_ad",
            },
            {"author_name", "author_diggcount", "suggested_words", "video_stickers"},
        ),
        (
            FOUR_CAT,
            {
                "author": "author",
                "author_likes": "author_likes",
                "likes": "likes",
                "posted_at": "unix_timestamp",
                "ad": "is_ad",
                "sponsored": "is_paid_partnership",
                "duet": "is_duet",
                "sound_id": "music_id",
                "sound_author": "music_author",
                "caption": "body",
            },
            {"thread_id", "author_full", "timestamp", "stickers", "effects"},
        ),
        (
            APIFY,
            {
                "followers": "authorMeta.fans",
                "author_likes": "authorMeta.heart",
                "author_posts": "authorMeta.video",
                "bio": "authorMeta.signature",
                "saves": "collectCount",
                "sponsored": "isSponsored",
                "sound_original": "musicMeta.musicOriginal",
                "language": "textLanguage",
            },
            {"authorMeta.nickName"},
        ),
        (
            KAGGLE_YOUTUBE,
            {"author": "channel_title", "posted_at": "publish_time", "comments": "comment_count"},
            {"category_id", "dislikes", "title", "thumbnail_link"},
        ),
        (
            KAGGLE_TIKTOK,
            {"duration_s": "video_duration_sec", "verified": "verified_status"},
            {"video_transcription_text"},
        ),
        # What we wrote ourselves was taken, so its mark refuses nothing.
        (OURS, {"sponsored": "is_ad", "step_k": "step_k", "author_key": "author_key"}, {"source"}),
        (
            ANALYST,
            {
                "author": "user_name",
                "caption": "video_desc",
                "posted_at": "video_time",
                "duration_s": "video_length",
                "views": "n_plays",
            },
            set(),
        ),
    ],
)
def test_the_tables_of_tools_are_known(header, mapping, left):
    header = header.split()
    found = find_columns(header, {})
    spread = find_spread(header, found)

    named = {field: header[n] for field, n in found.items()}
    assert {field: named.get(field) for field in mapping} == mapping
    used = {*found.values(), *(n for places in spread.values() for n in places)}
    assert {name for n, name in enumerate(header) if n not in used} == left


def test_a_name_with_two_readings_is_no_fields():
    found = find_columns(["id", "views", "length", "date", "country", "video_count"], {})
    assert set(found) == {"id", "views"}


@pytest.mark.parametrize(
    ("header", "places"),
    [
        (["hashtags/0/name", "x", "hashtags/1/name"], {"hashtags": [0, 2]}),
        (["Hashtags[0]", "hashtags[1]"], {"hashtags": [0, 1]}),
        (["challenges.0.title", "mentions/0"], {"hashtags": [0], "mentions": [1]}),
        (["hashtags/0/id", "hashtags_about", "hashtags"], {}),
    ],
)
def test_a_list_may_lie_in_columns_of_its_own(header, places):
    assert find_spread(header, {}) == places


def test_an_ignored_column_is_nobodys():
    header = ["id", "video_id", "views", "Create Time"]
    assert find_columns(header, {}, ["id", "createtime"]) == {"id": 1, "views": 2}
    with pytest.raises(BadColumns, match="no column 'when' for --ignore"):
        find_columns(header, {}, ["when"])
    with pytest.raises(BadColumns, match="'views' is both named and ignored"):
        find_columns(["id", "views"], {"views": "views"}, ["views"])


def test_nothing_is_said_of_a_sound_that_has_no_id():
    assert set(find_columns(["id", "views", "music_name"], {})) == {"id", "views"}


@pytest.mark.parametrize(
    "header", [["url"], ["https://www.tiktok.com/@a/video/7477538040452108006"]]
)
def test_a_list_of_addresses_is_told_where_it_belongs(header):
    with pytest.raises(BadColumns, match="no counts: `viewcast add --from FILE`"):
        find_columns(header, {})


def test_what_vine_and_lists_of_trends_call_theirs_is_known():
    found = find_columns(["postId", "loops", "trending_date", "musicMeta.duration", "music_id"], {})

    assert found == {"id": 0, "views": 1, "observed_at": 2, "sound_duration_s": 3, "sound_id": 4}
