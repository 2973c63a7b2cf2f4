import json
import os
from pathlib import Path

import pytest

from catalog.files import sha256_text
from scraper.errors import UnknownFormat
from scraper.importers.folder import ids_in_name
from scraper.importers.reading import read_path, sniff
from scraper.importers.video import ImportOptions
from tests.scraper.importers.rows import actor_item, info, split, tiktok_id, web_item


def read(folder, **options):
    return split(read_path(folder, ImportOptions(**options)))


def media_of(videos):
    return {v.sighting.tiktok_id: v.media and v.media.name for v in videos}


@pytest.mark.parametrize(
    "name",
    [
        "7571863205253778711.mp4",
        "@some.one_video_7571863205253778711.mp4",
        "tiktok_video_7571863205253778711.mp4",
        "a title [7571863205253778711].webm",
        "a title [dQw4w9WgXcQ].mkv",
        "20250101_7571863205253778711_a_caption.mp4",
        "a title-dQw4w9WgXcQ.mp4",
        "7571863205253778711/video.mp4",
    ],
)
def test_an_id_is_found_in_the_names_that_tools_give(name):
    found = ids_in_name(Path("/root") / name, Path("/root"))

    assert {"7571863205253778711", "dQw4w9WgXcQ"} & {*found}


NAMES = [
    f"@invented_video_{tiktok_id(0)}.mp4",
    f"tiktok_video_{tiktok_id(1)}.MP4",
    f"title [{tiktok_id(2)}].webm",
    f"{tiktok_id(3)}.mkv",
    f"{tiktok_id(4)}/video.mov",
]


def test_a_table_finds_its_videos_files_under_whatever_names(files):
    for name in NAMES:
        files.write(f"media/{name}", "x")
    text = "id,views\n" + "".join(f"{tiktok_id(n)},5\n" for n in range(5))
    videos, [] = files.read("a.csv", text, media=files.folder / "media")

    assert media_of(videos) == {tiktok_id(n): Path(NAMES[n]).name for n in range(5)}


def test_each_file_that_is_left_aside_is_named(files):
    for name in ("a [x].mp4", f"{tiktok_id(7)}.mp4", f"{tiktok_id(0)}.mp4", "notes.txt"):
        files.write(f"media/{name}", "x")
    files.write(f"media/old/tiktok_video_{tiktok_id(0)}.mp4", "x")
    files.write(f"media/t [{tiktok_id(0)}].f137.mp4", "x")
    [video], rejects = files.read("a.json", [actor_item()], media=files.folder / "media")

    assert video.media.name == f"{tiktok_id(0)}.mp4"
    assert {row.file: row.reason for row in rejects} == {
        "a [x].mp4": "media_unused",
        f"{tiktok_id(7)}.mp4": "media_unused",
        f"old/tiktok_video_{tiktok_id(0)}.mp4": "media_double",
        f"t [{tiktok_id(0)}].f137.mp4": "media_half",
    }
    assert all(row.is_media and row.is_skip for row in rejects)


@pytest.mark.parametrize("suffix", [".webm", ".mkv", ".mov", ".MP4", ".m4v", ".avi", ".flv", ".ts"])
def test_any_container_is_taken_beside_its_description(files, suffix):
    files.write("s [inVenTed000].info.json", info(id="inVenTed000", extractor_key="Youtube"))
    files.write(f"s [inVenTed000]{suffix}", "x")
    [video], [] = read(files.folder)

    assert (video.platform, video.media.suffix) == ("youtube", suffix)


def test_of_two_files_beside_a_description_the_one_it_names_is_taken(files):
    files.write("a.info.json", info(ext="webm"))
    files.write("a.mp4", "x")
    files.write("a.webm", "x")
    [video], [row] = read(files.folder)

    assert video.media.name == "a.webm"
    assert (row.reason, row.file) == ("media_double", "a.mp4")


def test_bare_files_are_videos_without_a_count(files):
    for name in NAMES:
        files.write(name, "x")
    files.write("a title [dQw4w9WgXcQ].mkv", "y")
    videos, [row] = read(files.folder)

    assert media_of(videos) == {tiktok_id(n): Path(NAMES[n]).name for n in range(5)}
    assert {video.sighting.views_k for video in videos} == {None}
    assert (row.reason, row.is_skip) == ("no_info", False)
    assert "say --platform youtube, or local" in row.detail


LOCAL_NAMES = [
    "holiday.webm",
    "IMG_0001.mov",
    "7.mp4",
    "VID_20250101123456789.mp4",
    "trip [1080p].mp4",
    "b/7.mp4",
    os.fsdecode(b"caf\xe9\n-=%.mp4"),
    f"{'long ' * 48}.mp4",
]


def test_files_of_no_site_are_local_videos_named_by_their_content(files):
    for n, name in enumerate(LOCAL_NAMES):
        files.write(name, f"content {n}")
    files.write("._IMG_0001.MOV", "what a system keeps of a file beside it")
    videos, [] = read(files.folder)
    ids = {v.sighting.tiktok_id for v in videos}

    assert sniff(files.folder) == "videos"
    assert {video.platform for video in videos} == {"local"}
    assert len(ids) == len(LOCAL_NAMES)
    assert sha256_text("content 0")[:32] in ids
    assert {(v.sighting.caption, v.sighting.posted_at) for v in videos} == {("", None)}


def test_a_content_is_one_video_under_whatever_names(files):
    files.write("a.mp4", "the same")
    first, [] = read(files.folder)
    files.write("sub/b.webm", "the same")
    videos, [row] = read(files.folder)

    assert [v.sighting.tiktok_id for v in videos] == [first[0].sighting.tiktok_id]
    assert (row.reason, row.file, row.is_skip, row.is_media) == (
        "media_double",
        "sub/b.webm",
        True,
        True,
    )


def test_names_are_ids_where_a_person_says_so_and_two_files_of_one_are_told(files):
    files.write("12.mp4", "x")
    files.write("b/12.mp4", "y")
    files.write("c/12.mp4", "x")
    files.write("cat.mp4", "z")
    videos, rows = read(files.folder, platform="local")

    assert {v.sighting.tiktok_id for v in videos} == {"12", sha256_text("z")[:32]}
    assert {row.file: row.reason for row in rows} == {
        "b/12.mp4": "id_taken",
        "c/12.mp4": "media_double",
    }


def test_a_caption_is_of_the_name_only_where_it_is_asked_for(files):
    files.write("my cat #cute.mp4", "x")
    [video], [] = read(files.folder, caption_from_name=True)

    assert (video.sighting.caption, video.sighting.hashtags) == ("my cat #cute", ("cute",))


def test_described_and_bare_files_may_lie_together(files):
    files.write("described.info.json", info())
    files.write("described.mp4", "x")
    files.write("bare.mp4", "y")
    videos, [] = read(files.folder)

    assert {video.platform: video.media.name for video in videos} == {
        "tiktok": "described.mp4",
        "local": "bare.mp4",
    }


def test_bare_files_of_another_platform_are_taken_where_a_person_says_whose(files):
    files.write("a title [dQw4w9WgXcQ].webm", "x")
    files.write("holiday.mp4", "x")
    [video], [_] = read(files.folder, platform="youtube")

    assert (video.platform, video.sighting.tiktok_id) == ("youtube", "dQw4w9WgXcQ")


def test_a_folder_of_one_json_file_for_each_video_is_read(files):
    for n in range(3):
        files.write(f"{n}/{tiktok_id(n)}.json", web_item(n))
    files.write("3.json", [actor_item(3)])
    files.write("4.jsonl", json.dumps(web_item(4)) + "\n" + json.dumps(web_item(5)))
    files.write("notes.json", {"hello": 1})
    videos, [row] = read(files.folder)

    assert {video.sighting.tiktok_id for video in videos} == {tiktok_id(n) for n in range(6)}
    assert (row.reason, row.file, row.is_skip) == ("unknown_file", "notes.json", True)
    assert sniff(files.folder) == "actor"  # as its first file is


def test_exports_and_their_files_may_lie_together(files):
    files.write(f"tiktok_metadata_{tiktok_id()}.json", web_item())
    files.write(f"tiktok_video_{tiktok_id()}.mp4", "x")
    files.write("table.csv", f"id,views\n{tiktok_id(1)},5\n")
    files.write(f"{tiktok_id(1)}.mp4", "x")
    videos, [] = read(files.folder)

    assert media_of(videos) == {
        tiktok_id(0): f"tiktok_video_{tiktok_id()}.mp4",
        tiktok_id(1): f"{tiktok_id(1)}.mp4",
    }


def test_a_refused_row_of_a_folder_names_its_file(files):
    files.write("a/one.json", [web_item(), web_item(1, isAd=True)])
    _, [row] = read(files.folder)

    assert (row.reason, row.file) == ("ad", "a/one.json")


def test_a_folder_without_any_is_refused(files):
    files.write("a.json", "[]")
    files.write("b.txt", "x")
    with pytest.raises(UnknownFormat, match="nor an export"):
        sniff(files.folder)
