"""Files, folders and patterns as arguments: each file once, nothing passed over in silence."""

import os
from pathlib import Path

import pytest

from model.forecast.card import Refused
from model.forecast.given_files import find_files


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in ("b.mp4", "a.webm", "notes.txt", ".hidden.mp4", "deep/c.mov", "deep/er/d.mp4"):
        path = tmp_path / "drafts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def named(*arguments, **options):
    return [
        one.message if isinstance(one, Refused) else str(one)
        for one in find_files(arguments, **options).files
    ]


def test_a_folder_means_the_videos_directly_in_it(folder):
    assert named("drafts") == ["drafts/a.webm", "drafts/b.mp4"]
    assert find_files(["drafts"]).left_aside == (
        "drafts/.hidden.mp4",
        "drafts/notes.txt",
        "drafts/deep/",
    )


def test_deeper_ones_only_where_asked_and_a_loop_of_links_ends(folder):
    (folder / "drafts" / "deep" / "up").symlink_to(folder / "drafts")
    (folder / "drafts" / "link.mp4").symlink_to(folder / "drafts" / "b.mp4")
    assert named("drafts", is_recursive=True) == [
        "drafts/a.webm",
        "drafts/b.mp4",
        "drafts/link.mp4",
        "drafts/deep/c.mov",
        "drafts/deep/er/d.mp4",
    ]


def test_a_pattern_is_what_it_fits_and_each_file_comes_once(folder):
    assert named("drafts/*.mp4", "drafts/b.mp4", "drafts") == ["drafts/b.mp4", "drafts/a.webm"]
    assert named("drafts/**/*.mp4") == ["drafts/b.mp4", "drafts/deep/er/d.mp4"]


def test_a_file_whose_name_looks_like_a_pattern_is_a_file(folder):
    Path("clip [1].mp4").write_bytes(b"x")
    assert named("clip [1].mp4") == ["clip [1].mp4"]


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("*.avi", "nothing fits this pattern"),
        ("empty", "no video is in this folder"),
        ("drafts/deep/er/../..", "expected the like of .mp4"),
        ("", "an argument is empty"),
    ],
)
def test_an_argument_that_names_no_video_says_what_would(folder, argument, said):
    for name in ("a.webm", "b.mp4"):
        (folder / "drafts" / name).unlink()
    [refused] = find_files([argument]).files
    assert isinstance(refused, Refused)
    assert said in refused.message


def test_what_else_lies_in_a_folder_is_counted(folder):
    Path("empty/a.jpg").write_bytes(b"x")
    Path("empty/inner").mkdir()
    [message] = named("empty")
    assert "other files: 1 (a.jpg)" in message
    assert "folders: 1, --recursive looks into them" in message


def test_names_that_no_file_can_have_are_left_to_who_reads_them(folder):
    odd = os.fsdecode(b"caf\xe9.mp4")
    assert named("x" * 5000, "-", "--", odd) == ["x" * 5000, "-", "--", odd]
