import gzip
import json
import os
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.errors import BadColumns, BadOption, ImportRefused, UnknownFormat
from scraper.importers import reading
from scraper.importers.formats import FORMATS
from scraper.importers.reading import read_path, sniff
from scraper.importers.video import ImportedVideo, ImportOptions, RejectedLine
from tests.scraper.importers.rows import (
    actor_item,
    aweme,
    info,
    research_item,
    split,
    tiktok_id,
    web_item,
)

LINE = {"item_id": "1", "timestamp_collected": 1, "data": web_item()}


@pytest.mark.parametrize(
    ("row", "found"),
    [
        (web_item(), "web"),
        (LINE, "web"),
        (actor_item(), "actor"),
        ({"id": tiktok_id(), "playCount": 1}, "actor"),
        (info(), "ytdlp"),
        (research_item(), "research"),
        ({"id": 1, "view_count": 1}, "research"),
        (aweme(), "app"),
        ({"id": tiktok_id(), "url": "x", "views": "2M"}, "pairs"),
        ({"id": tiktok_id(), "views_k": 2}, "pairs"),
    ],
)
def test_a_row_shows_which_tool_wrote_it(files, row, found):
    for text in (json.dumps([row]), json.dumps(row), f"{json.dumps(row)}\n" * 3):
        assert sniff(files.write("a.txt", text)) == found


@pytest.mark.parametrize("text", ["id,views\n", "video_id\tplayCount\n", "sep=;\nid;plays\n1;2\n"])
def test_a_table_shows_it_by_its_columns(files, text):
    assert sniff(files.write("a.txt", text)) == "table"


def test_named_columns_make_a_table_of_any_text(files):
    path = files.write("a.txt", "nr,reach\n1,2\n")

    assert sniff(path, ImportOptions(columns={"id": "nr", "views": "reach"})) == "table"


def test_a_bad_row_before_the_good_ones_hides_nothing(files):
    assert sniff(files.write("a.json", f'[{{"a": NaN}}, {json.dumps(web_item())}]')) == "web"


@pytest.mark.parametrize("content", ["\n", '[{"a": 1}]', "hello", b"\x00\x01", "a,b\n1,2\n"])
def test_what_nobody_knows_is_refused_with_the_formats_there_are(files, content):
    with pytest.raises((UnknownFormat, BadColumns), match="ytdlp, web, actor"):
        sniff(files.write("a.bin", content))


def test_a_folder_of_something_else_is_refused(files):
    files.write("a/b.txt", "x")
    with pytest.raises(UnknownFormat, match=r"neither \.info\.json nor \.mp4"):
        sniff(files.folder)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (
            gzip.compress(gzip.compress(b"id,views", mtime=0), mtime=0),
            r"compressed twice: unpack it first",
        ),
        (b"PK\x03\x04" + b"\0" * 50, "save as CSV UTF-8, ids as text"),
        (b"SQLite format 3\0", "export the table"),
    ],
)
def test_what_is_no_table_yet_is_named(files, content, said):
    with pytest.raises(UnknownFormat, match=said):
        sniff(files.write("a.csv", content))


def test_a_pipe_is_refused_rather_than_waited_for(files):
    os.mkfifo(files.folder / "pipe")
    with pytest.raises(BadOption, match="no plain file"):
        sniff(files.folder / "pipe")
    (files.folder / "nowhere").symlink_to("gone")
    with pytest.raises(BadOption, match="a link must lead somewhere"):
        sniff(files.folder / "nowhere")


def test_what_may_not_be_read_is_said_in_a_line(files, monkeypatch):
    path = files.write("a.csv", "id,views")

    def refuse(*_args, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", refuse)
    with pytest.raises(ImportRefused, match=r"a\.csv' cannot be read: Permission denied"):
        sniff(path)


def test_a_name_breaks_no_message(files):
    with pytest.raises(UnknownFormat) as caught:
        sniff(files.write("a\n\x1b[31m.csv", "a,b\n1,2\n"))
    assert str(caught.value).isprintable()


def test_an_item_of_another_site_is_no_item_of_tiktoks(files):
    path = files.write("a.json", [{"id": "a", "view_count": 1, "username": "x"}])

    assert sniff(path) == "research"
    assert sniff(path, ImportOptions(platform="instagram")) == "table"


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**18, 9 * 10**18)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from([tiktok_id(), "2M", "7.57E+18", 1762961788, "\ud800", "\0"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
ITEMS = {
    "web": web_item(),
    "actor": actor_item(),
    "ytdlp": info(),
    "research": research_item(),
    "app": aweme(),
    "pairs": {"id": tiktok_id(), "url": "x", "views": "2M", "views_k": 2000},
}
JSON_FORMATS = sorted(ITEMS)


def check(path, **options):
    """Every row is a video or a refusal that can be stored; nothing else may come."""
    try:
        rows = list(read_path(path, ImportOptions(**options)))
    except ImportRefused as refused:
        return [str(refused)]
    for row in rows:
        if isinstance(row, ImportedVideo):
            found = row.sighting
            assert found.views_k is None or 0 <= found.views_k < 1e10
            assert (found.views_k is None) == (found.step_k is None)
            json.dumps([found.caption, found.handle, found.hashtags]).encode()
            f"{found.caption}{found.handle}{found.hashtags}{row.url}".encode()
            assert "\0" not in found.caption
            assert found.observed_at.tzinfo is UTC
        else:
            assert isinstance(row, RejectedLine)
            assert 0 < len(row.detail.encode()) <= 2_000
            assert row.detail.isprintable()
            assert len(row.detail) <= 500
            assert len(row.sha256) == 64
    return rows


@given(JSON, st.sampled_from([None, *FORMATS]), st.booleans())
def test_no_json_crashes_a_reader(tmp_path_factory, document, forced, in_list):
    path = tmp_path_factory.mktemp("any") / "a.json"
    path.write_text(json.dumps([document] if in_list else document))

    check(path, format=forced)


@pytest.mark.parametrize("name", JSON_FORMATS)
@given(data=st.data())
def test_no_value_in_any_place_of_a_row_crashes_its_reader(tmp_path_factory, name, data):
    item = json.loads(json.dumps(ITEMS[name]))
    for _ in range(data.draw(st.integers(1, 3))):
        key = data.draw(st.sampled_from(sorted(item)))
        if isinstance(item[key], dict) and item[key] and data.draw(st.booleans()):
            item[key][data.draw(st.sampled_from(sorted(item[key])))] = data.draw(JSON)
        else:
            item[key] = data.draw(JSON)
    path = tmp_path_factory.mktemp("any") / "a.json"
    path.write_text(json.dumps([ITEMS[name], item]))

    assert len(check(path, format=name)) == 2


@given(st.binary(max_size=400), st.sampled_from([None, *FORMATS]))
def test_no_bytes_crash_a_reader(tmp_path_factory, content, forced):
    path = tmp_path_factory.mktemp("any") / "a"
    path.write_bytes(content)

    check(path, format=forced)


@given(st.data())
def test_a_file_cut_anywhere_gives_the_rows_before_the_cut(tmp_path_factory, data):
    whole = json.dumps({"collector": [actor_item(n) for n in range(5)]})
    at = data.draw(st.integers(40, len(whole) - 1))
    path = tmp_path_factory.mktemp("cut") / "a.json"
    path.write_text(whole[:at])

    rows = check(path, format="actor")

    n_whole = whole[:at].count('"name": "Volleyball"}]}')
    assert len([row for row in rows if isinstance(row, ImportedVideo)]) == n_whole
    assert [row.reason for row in rows if isinstance(row, RejectedLine)] == ["broken_file"]


def test_two_counts_of_one_moment_that_agree_are_one(files):
    rows = [actor_item(playCount=44_800), actor_item(playCount=44_780, text="another text")]

    videos, [] = files.read("a.json", rows)

    assert [video.sighting.display_text for video in videos] == ["44800", "44800"]
    assert videos[1].sighting.caption == "another text"


def test_two_counts_of_one_moment_that_contradict_leave_the_first(files):
    [video], [row] = files.read("a.json", [actor_item(), actor_item(playCount=1_000_000)])

    assert (video.sighting.display_text, row.reason) == ("44800", "duplicate")
    assert "'1000000'" in row.detail


def test_counts_of_two_moments_are_two(files):
    rows = [
        actor_item(scrapedAt="2025-11-13T00:00:00Z"),
        actor_item(playCount=1_000_000, scrapedAt="2025-11-14T00:00:00Z"),
    ]

    videos, [] = files.read("a.json", rows)

    assert len(videos) == 2


def test_contradictions_are_found_within_a_stretch_of_rows(files, monkeypatch):
    monkeypatch.setattr(reading, "MAX_REMEMBERED", 3)
    rows = [actor_item(n) for n in range(4)] + [actor_item(1, playCount=1_000_000)]

    _, rejects = files.read("a.json", rows)

    assert [row.reason for row in rejects] == ["duplicate"]


def test_a_video_is_not_counted_before_it_is_posted(files):
    said = datetime(2020, 1, 1, tzinfo=UTC)

    [], [row] = files.read("a.json", [actor_item()], observed_at=said)

    assert (row.reason, row.tiktok_id) == ("bad_time", tiktok_id())
    assert "before the video was posted" in row.detail


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"locale": "xx_nowhere"}, "no locale"),
        ({"observed_at": datetime(2026, 1, 1)}, "no time zone"),  # noqa: DTZ001 (the point)
    ],
)
def test_options_that_mean_nothing_are_refused_before_the_first_row(files, options, said):
    with pytest.raises(ImportRefused, match=said):
        read_path(files.write("a.json", [actor_item()]), ImportOptions(**options))


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(ImportRefused, match=r"nothing\.csv'"):
        read_path(tmp_path / "nothing.csv", ImportOptions())
    path = tmp_path / "a.json"
    path.write_text(json.dumps([actor_item()]))
    with pytest.raises(ImportRefused, match=r"no folder .*clips'"):
        read_path(path, ImportOptions(media=tmp_path / "clips"))


def test_media_outside_of_their_folder_are_not_found(files, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "x.mp4"
    outside.write_text("x")
    folder = files.folder / "media"
    folder.mkdir()
    (folder / f"{tiktok_id()}.mp4").symlink_to(outside)

    videos, [row] = files.read("a.json", [actor_item()], media=folder)

    assert videos[0].media is None
    assert (row.reason, row.is_media) == ("outside", True)


def test_forcing_a_format_reads_a_file_as_that(files):
    videos, rejects = split(
        read_path(files.write("a.json", [actor_item()]), ImportOptions(format="app"))
    )

    assert (videos, [row.reason for row in rejects]) == ([], ["bad_id"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"locale": "xx"}, "there is no locale 'xx'"),
        ({"platform": "../x"}, "'../x' is no platform"),
        ({"observed_at": datetime(2199, 1, 1, tzinfo=UTC)}, "in the future"),
        ({"columns": {"views": "x"}, "format": "actor"}, "only tables have columns"),
        ({"platform": "youtube", "format": "actor"}, "none of them is of youtube"),
    ],
)
def test_an_option_that_cannot_be_is_refused_before_a_row_is_read(files, options, said):
    path = files.write("a.json", [actor_item()])
    with pytest.raises(BadOption, match=said) as caught:
        read_path(path, ImportOptions(**options))
    assert caught.value.exit_code == 2


def test_a_media_file_by_itself_is_named(files):
    with pytest.raises(UnknownFormat, match=r"a\.mp4 is a media file: import the folder"):
        sniff(files.write("a.mp4", b"\0\0\0\x18ftypmp42"))
