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
    assert (video.sighting.step_k, video.sighting.hashtags) == (0.0, ("music",))
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

    [], [row] = read_folder(files.folder)

    assert (row.reason, row.file) == ("no_info", "holiday.mp4")


def test_a_listing_on_lines_is_read_too(files):
    text = "\n".join(json.dumps(info(n)) for n in range(3))

    videos, [] = files.read("a.jsonl", text)

    assert len(videos) == 3
