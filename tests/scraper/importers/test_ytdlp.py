import json
from datetime import UTC, datetime

import pytest

from scraper.importers.reading import read_path, sniff
from scraper.importers.video import ImportOptions
from tests.scraper.importers.rows import WRITTEN_AT, info, split, tiktok_id


def read_folder(folder, **options):
    return split(read_path(folder, ImportOptions(**options)))


def test_a_folder_is_read_with_its_media(files):
    media = files.write(f"a/{tiktok_id()}.mp4", "x")
    files.write(f"a/{tiktok_id()}.info.json", info())
    files.write(f"b/{tiktok_id(1)}.info.json", info(1))

    videos, [] = read_folder(files.folder)

    found = videos[0].sighting
    assert [video.sighting.tiktok_id for video in videos] == [tiktok_id(), tiktok_id(1)]
    assert [video.media for video in videos] == [media, None]
    assert (found.handle, found.hashtags) == ("author0", ("dance",))
    assert (found.display_text, found.views_k, found.step_k) == ("44800", 44.8, 0.1)
    assert found.observed_at == datetime(2025, 11, 13, 2, 13, 20, tzinfo=UTC)
    assert videos[0].is_time_stated
    assert sniff(files.folder) == "ytdlp"


def test_one_description_is_a_file_like_any_other(files):
    [video], [] = files.read("a.info.json", info())

    assert video.sighting.views_k == 44.8


def test_other_platforms_keep_their_own_ids_and_addresses(files):
    other = info(
        id="dQw4w9WgXcQ",
        extractor_key="Youtube",
        webpage_url="https://www.youtube.com/watch?v=dQw4w9WgXcQ",
        uploader_id="@someone",
        view_count=1_700_000,
        tags=["Music"],
    )
    [video], [] = files.read("a.info.json", other)

    assert (video.platform, video.sighting.tiktok_id) == ("youtube", "dQw4w9WgXcQ")
    assert video.url == "https://www.youtube.com/watch?v=dQw4w9WgXcQ"
    assert (video.sighting.step_k, video.sighting.hashtags) == (0.0, ("music", "dance"))
    assert video.sighting.posted_at == datetime(2025, 11, 12, 15, 36, 28, tzinfo=UTC)


def test_a_media_file_without_a_count_can_still_be_scored(files):
    files.write(f"{tiktok_id()}.mp4", "x")
    files.write(f"{tiktok_id()}.info.json", info(view_count=None))
    bare = files.write(f"a title [{tiktok_id(1)}].mp4", "x")

    videos, [] = read_folder(files.folder)

    assert [video.sighting.views_k for video in videos] == [None, None]
    assert [video.sighting.display_text for video in videos] == ["", ""]
    by_id = {video.sighting.tiktok_id: video for video in videos}
    assert by_id[tiktok_id(1)].media == bare
    assert by_id[tiktok_id(1)].sighting.observed_at == WRITTEN_AT


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (info(view_count=None), "no_count"),
        (info(_type="playlist"), "playlist"),
        (info(is_live=True), "live"),
        (info(vcodec="none"), "photo"),
        (info(id="../../x"), "bad_id"),
        (info(extractor_key="../x"), "bad_platform"),
        ("{", "not_json"),
        (b"\xff\xfe", "bad_encoding"),
        ("[]", "not_an_item"),
    ],
)
def test_a_description_of_no_video_names_its_file(files, content, reason):
    files.write("one.info.json", content)

    [], [row] = read_folder(files.folder)

    assert (row.reason, row.file) == (reason, "one.info.json")
    assert row.detail.startswith("one.info.json: ")


def test_no_link_out_of_the_folder_is_followed(files, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret.info.json").write_text("{}")
    (outside / "secret.mp4").write_text("x")
    inner = files.folder / "inner"
    inner.mkdir()
    (inner / "a.info.json").symlink_to(outside / "secret.info.json")
    (inner / f"{tiktok_id()}.mp4").symlink_to(outside / "secret.mp4")
    (inner / "further").symlink_to(outside, target_is_directory=True)
    (inner / "gone.info.json").symlink_to(outside / "nothing")
    (inner / "self.info.json").symlink_to(inner / "self.info.json")
    files.write(f"inner/{tiktok_id(1)}.info.json", info(1))
    (inner / f"{tiktok_id(1)}.mp4").symlink_to(outside / "secret.mp4")

    [video], rejects = read_folder(inner)

    assert video.media is None
    assert {row.reason for row in rejects} == {"outside"}
    assert len(rejects) == 5


def test_a_media_file_without_id_is_named(files):
    files.write("holiday.mp4", "x")

    [], [row] = read_folder(files.folder, platform="youtube")

    assert (row.reason, row.file) == ("no_info", "holiday.mp4")


def test_a_listing_on_lines_is_read_too(files):
    text = "\n".join(json.dumps(info(n)) for n in range(3))

    videos, [] = files.read("a.jsonl", text)

    assert len(videos) == 3


SHORT = {
    "_type": "url",
    "ie_key": "TikTok",
    "view_count": 1532,
    "title": "one #a",
    "epoch": 1763000000,
}


def short(number=0, **changes):
    url = f"https://www.tiktok.com/@author{number}/video/{tiktok_id(number)}"
    listed = {"webpage_url": "https://www.tiktok.com/@author", "extractor": "tiktok:user"}
    return {**SHORT, **listed, "id": tiktok_id(number), "url": url, **changes}


@pytest.mark.parametrize("indent", [None, 1])
def test_a_playlist_in_one_document_gives_its_entries(files, indent):
    inner = {"_type": "playlist", "id": "tab", "entries": [info(2), None, info(3)]}
    whole = {
        "_type": "playlist",
        "id": "account",
        "extractor_key": "TikTokUser",
        "entries": [info(0), info(1, ext="mp3", vcodec="none"), inner],
    }
    videos, rejects = files.read("a.json", json.dumps(whole, indent=indent))

    assert [video.sighting.tiktok_id for video in videos] == [tiktok_id(n) for n in (0, 2, 3)]
    assert [row.reason for row in rejects] == ["photo", "not_an_item"]
    assert sniff(files.folder / "a.json") == "ytdlp"


def test_a_list_that_was_not_followed_is_ytdlps_and_no_answer_of_an_api(files):
    text = "".join(json.dumps(short(n)) + "\n" for n in range(3))
    videos, [] = files.read("a.jsonl", text)

    found = videos[0].sighting
    assert sniff(files.folder / "a.jsonl") == "ytdlp"
    assert (len(videos), found.caption, found.handle) == (3, "one #a", "author0")
    assert found.observed_at == datetime(2025, 11, 13, 2, 13, 20, tzinfo=UTC)
    assert videos[0].is_time_stated


def test_its_short_entries_of_other_sites_keep_their_own_address(files):
    url = "https://www.youtube.com/watch?v=dQw4w9WgXcQ"
    row = short(id="dQw4w9WgXcQ", ie_key="Youtube", url=url, extractor="youtube:tab")
    [video], [] = files.read("a.json", [row])

    assert (video.platform, video.url) == ("youtube", url)


@pytest.mark.parametrize(
    "changes",
    [
        {"vcodec": "none"},
        {"ext": "m4a", "vcodec": None, "width": None},
        {"formats": [{"ext": "mp3", "vcodec": "none"}, {"ext": "m4a"}], "ext": None},
        {"imagePost": {"images": []}},
        {"webpage_url": f"https://www.tiktok.com/@a/photo/{tiktok_id()}"},
        {"original_url": f"https://www.tiktok.com/@a/photo/{tiktok_id()}", "width": None},
    ],
)
def test_a_slide_show_is_known_whatever_its_codec_says(files, changes):
    # What has nothing in it is nothing to go by.
    changes = {k: v if k != "imagePost" else {"images": [1]} for k, v in changes.items()}
    [_], [row] = files.read("a.json", [info(1), info(**changes)])

    assert (row.reason, row.is_skip) == ("photo", True)


def test_a_video_with_a_sound_track_beside_it_is_no_slide_show(files):
    formats = [{"ext": "m4a", "vcodec": "none"}, {"ext": "mp4", "vcodec": "h264", "width": 576}]
    [_], [] = files.read("a.json", [info(formats=formats, ext="mp4", vcodec="h264")])


def test_a_bare_date_is_a_day_and_said_to_be_one(files):
    row = info(id="dQw4w9WgXcQ", extractor_key="Youtube", timestamp=None, upload_date="20250301")
    [video], [] = files.read("a.json", [row])
    assert video.sighting.posted_at == datetime(2025, 3, 1, tzinfo=UTC)
    assert not video.sighting.is_posted_at_stated

    # An id of TikTok's tells the second.
    [video], [] = files.read("b.json", [info(timestamp=None, upload_date="20250301")])
    assert video.sighting.posted_at.timestamp() == int(tiktok_id()) >> 32
    assert not video.sighting.is_posted_at_stated


@pytest.mark.parametrize("day", ["20251399", "soon", None, "19700101"])
def test_what_is_no_day_is_none(files, day):
    row = info(id="x-1", extractor_key="Vimeo", timestamp=None, upload_date=day)
    [video], [] = files.read("a.json", [row])

    assert (video.platform, video.sighting.posted_at) == ("vimeo", None)
