import json
import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from catalog.console import Silent
from catalog.read.exports import export_videos
from catalog.read.pending import count_media_to_fetch
from catalog.read.refreshing import count_to_refresh
from catalog.record.accounts import want_accounts
from catalog.record.retention import Named, purge
from scraper.errors import UnknownFormat
from scraper.importers.video import ImportOptions
from scraper.pseudonyms import author_key
from scraper.settings import FetchConfig
from scraper.steps import import_
from scraper.steps.import_ import import_path
from tests.catalog.factories import T0, named
from tests.fresh_catalog import ask, fresh_catalog, told
from tests.scraper.importers.rows import actor_item, info, make_clip, tiktok_id

DEFAULT = Path(__file__).resolve().parents[4] / "shared" / "data"
# Read before the tests hide the developer's own settings.
TRENDING = Path(os.environ.get("VIEWCAST_DATA", DEFAULT)) / "trending_2020.json"
SALT = b"salt"


@pytest.fixture
def catalog(tmp_path):
    with fresh_catalog(tmp_path) as opened:
        yield opened


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "given"
    made.mkdir()
    return made


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4")


def bring(catalog, path, *, data=None, keep_handles=False, dry_run=False, **options):
    return import_path(
        catalog,
        path,
        ImportOptions(**options),
        salt=SALT,
        keep_handles=keep_handles,
        data=data or path.parent,
        with_media=data is not None,
        progress=Silent(),
        limits=FetchConfig(min_free_gb=0),
        dry_run=dry_run,
    )


def write(folder, rows, name="rows.json"):
    path = folder / name
    path.write_text(json.dumps(rows))
    return path


def counts(catalog):
    tables = ("video", "view_observation", "account", "rejected_row")
    return tuple(ask(catalog, f"SELECT count(*) FROM {name}")[0][0] for name in tables)


@pytest.mark.skipif(not TRENDING.is_file(), reason=f"there is no {TRENDING.name}")
def test_a_real_data_set_is_imported_once_however_often_it_is(catalog):
    first = bring(catalog, TRENDING)
    second = bring(catalog, TRENDING)

    assert (first.n_rows, first.n_new_videos, first.n_observations) == (1_000, 1_000, 1_000)
    assert (second.n_rows, second.n_new_videos, second.n_observations) == (1_000, 0, 0)
    assert second.n_known_videos == 1_000
    assert counts(catalog) == (1_000, 1_000, 802, 0)
    assert (first.outcome.status, second.outcome.exit_code) == ("ok", 0)


def test_a_video_is_stored_with_its_count_and_nobody_is_named(catalog, folder):
    result = bring(catalog, write(folder, [actor_item()]))

    assert (result.format, result.outcome.kind, result.outcome.n_done) == ("actor", "import", 1)
    assert ask(catalog, "SELECT url, platform FROM video") == [
        (f"https://www.tiktok.com/@/video/{tiktok_id()}", "tiktok")
    ]
    assert ask(catalog, "SELECT author_key, handle FROM account") == [
        (author_key("author0", SALT), None)
    ]
    assert ask(catalog, "SELECT display_text, views_k, step_k, source FROM view_observation") == [
        ("44800", 44.8, 0.1, "import")
    ]


def test_handles_are_kept_where_the_owner_says_so(catalog, folder):
    bring(catalog, write(folder, [actor_item()]), keep_handles=True)

    assert ask(catalog, "SELECT handle FROM account") == [("author0",)]


def test_a_later_file_adds_observations_and_an_older_one_too(catalog, folder):
    for day, views in (("2026-01-02", 3_000), ("2026-01-03", 2_000), ("2026-01-01", 1_000)):
        rows = [actor_item(playCount=views, scrapedAt=day)]
        result = bring(catalog, write(folder, rows))
        assert result.n_observations == 1

    assert counts(catalog)[:2] == (1, 3)
    latest = "SELECT display_text FROM view_observation o JOIN video ON latest_observation_id=o.id"
    assert ask(catalog, latest) == [("2000",)]


def test_a_copied_file_is_no_new_observation_unless_its_count_differs(catalog, folder):
    path = write(folder, [actor_item()])
    bring(catalog, path)
    later = datetime(2026, 11, 20, tzinfo=UTC).timestamp()
    os.utime(path, (later, later))

    assert bring(catalog, path).n_observations == 0
    changed = write(folder, [actor_item(playCount=50_000)], "later.json")
    assert bring(catalog, changed).n_observations == 1


def test_bad_rows_are_listed_stored_and_cost_only_themselves(catalog, folder):
    rows = [
        actor_item(isAd=True),
        actor_item(1),
        actor_item(2, playCount="many"),
        {"error": "gone"},
        actor_item(3),
    ]

    result = bring(catalog, write(folder, rows))

    assert (result.n_rows, result.n_new_videos) == (5, 2)
    assert result.rejected == {"ad": 1, "bad_count": 1, "not_an_item": 1}
    assert [row.reason for row in result.sample] == ["bad_count", "not_an_item", "ad"]
    assert (result.outcome.status, result.outcome.exit_code) == ("partial", 4)
    assert (result.outcome.n_done, result.outcome.n_failed, result.outcome.n_skipped) == (2, 2, 1)
    assert ask(catalog, "SELECT source, line, tiktok_id, reason FROM rejected_row ORDER BY id") == [
        ("rows.json", 1, tiktok_id(), "ad"),
        ("rows.json", 1, tiktok_id(2), "bad_count"),
        ("rows.json", 1, None, "not_an_item"),
    ]
    json.dumps(result.counts())


def test_a_rejected_row_is_stored_once_however_often_it_is_met(catalog, folder):
    path = write(folder, [actor_item(), actor_item(1, playCount="many")])
    bring(catalog, path)
    bring(catalog, path)

    assert counts(catalog) == (1, 1, 1, 1)


def test_rows_that_are_only_no_videos_are_no_failure(catalog, folder):
    outcome = bring(catalog, write(folder, [actor_item(isAd=True), actor_item(1)])).outcome

    assert (outcome.status, outcome.exit_code, outcome.n_skipped) == ("ok", 0, 1)


def test_a_file_with_nothing_usable_fails(catalog, folder):
    outcome = bring(catalog, write(folder, [actor_item(playCount="many")])).outcome

    assert (outcome.status, outcome.exit_code) == ("failed", 1)


@pytest.mark.parametrize("text", ["id,views\n", '{"collector": []}'])
def test_a_file_without_rows_fails(catalog, folder, text):
    path = folder / "empty"
    path.write_text(text)
    forced = "table" if text.startswith("id") else "actor"

    outcome = bring(catalog, path, format=forced).outcome

    assert (outcome.status, outcome.codes) == ("failed", {"empty": 1})


def test_many_bad_rows_do_not_end_an_import(catalog, folder):
    rows = [actor_item(n, playCount="many") for n in range(50)] + [actor_item(99)]

    assert bring(catalog, write(folder, rows)).outcome.exit_code == 4
    assert counts(catalog)[0] == 1


def test_a_broken_file_keeps_what_came_before(catalog, folder):
    path = write(folder, [actor_item(n) for n in range(3)])
    path.write_text(path.read_text()[:-20])

    result = bring(catalog, path)

    assert (result.n_new_videos, result.rejected) == (2, {"broken_file": 1})


def test_rows_are_stored_in_batches(catalog, folder, monkeypatch):
    monkeypatch.setattr(import_, "BATCH_ROWS", 3)
    result = bring(catalog, write(folder, [actor_item(n) for n in range(10)]))

    assert (result.n_rows, result.n_new_videos, result.outcome.n_done) == (10, 10, 10)


def test_what_was_purged_does_not_come_back(catalog, folder):
    path = write(folder, [actor_item(), actor_item(1)])
    with catalog.write() as session:
        purge(session, named([tiktok_id()]), reason="asked")

    result = bring(catalog, path)

    assert (result.n_tombstoned, result.n_new_videos) == (1, 1)


def test_a_dry_run_reads_everything_and_writes_nothing(catalog, folder):
    path = write(folder, [actor_item(), actor_item(1, playCount="many")])

    result = bring(catalog, path, dry_run=True)

    assert (result.n_rows, result.rejected) == (2, {"bad_count": 1})
    assert (result.outcome, result.n_new_videos) == (None, None)
    assert counts(catalog) == (0, 0, 0, 0)
    assert ask(catalog, "SELECT count(*) FROM run") == [(0,)]


def test_an_unknown_file_is_refused_before_a_run_begins(catalog, folder):
    with pytest.raises(UnknownFormat):
        bring(catalog, write(folder, [{"a": 1}]))
    assert ask(catalog, "SELECT count(*) FROM run") == [(0,)]


def test_the_address_of_another_platform_names_nobody(catalog, folder):
    for number, url in enumerate(("https://x.invalid/@author0/1", "https://x.invalid/watch?v=1")):
        other = info(id=f"a{number}", extractor_key="X", webpage_url=url, uploader_id="author0")
        bring(catalog, write(folder, other, f"{number}.info.json"))

    assert ask(catalog, "SELECT platform, url FROM video ORDER BY tiktok_id") == [
        ("x", ""),
        ("x", "https://x.invalid/watch?v=1"),
    ]


# --- media


@pytest.fixture
def packed(folder, clip):
    """A yt-dlp folder: one whole video, one that was cut off, one without a file."""
    for number in range(3):
        write(folder, info(number, duration=1), f"{tiktok_id(number)}.info.json")
    (folder / f"{tiktok_id()}.mp4").write_bytes(clip.read_bytes())
    (folder / f"{tiktok_id(1)}.mp4").write_bytes(clip.read_bytes()[:-200])
    return folder


MEDIA = "SELECT tiktok_id, status, uri FROM media_file JOIN video ON video_id = video.id"


@pytest.mark.ffmpeg
def test_files_are_brought_checked_and_noted(catalog, packed, tmp_path):
    data = tmp_path / "data"

    result = bring(catalog, packed, data=data)

    uri = f"media/11/{tiktok_id()}.mp4"
    assert (result.n_new_videos, result.n_media) == (3, 1)
    assert result.media_failed == {"bad_media": 1}
    assert [row.file for row in result.sample] == [f"{tiktok_id(1)}.mp4"]
    assert (result.outcome.n_done, result.outcome.n_failed) == (2, 1)
    assert ask(catalog, MEDIA) == [(tiktok_id(), "ok", uri)]
    files = [path for path in data.rglob("*") if path.is_file()]
    assert files == [data / uri]


@pytest.mark.ffmpeg
def test_files_are_brought_once(catalog, packed, tmp_path):
    bring(catalog, packed, data=tmp_path / "data")
    again = bring(catalog, packed, data=tmp_path / "data")

    assert (again.n_media, again.n_new_videos, again.n_observations) == (0, 0, 0)
    assert len(ask(catalog, MEDIA)) == 1


@pytest.mark.ffmpeg
def test_a_file_that_was_in_place_before_its_note_is_noted(catalog, packed, tmp_path):
    bring(catalog, packed, data=tmp_path / "data")
    with catalog.write() as session:
        session.connection().exec_driver_sql("DELETE FROM media_file")

    assert bring(catalog, packed, data=tmp_path / "data").n_media == 1


@pytest.mark.ffmpeg
def test_no_file_comes_back_for_what_was_purged(catalog, packed, tmp_path):
    with catalog.write() as session:
        purge(session, named([tiktok_id()]), reason="asked")

    result = bring(catalog, packed, data=tmp_path / "data")

    assert (result.n_tombstoned, result.n_media) == (1, 0)
    assert [path for path in (tmp_path / "data").rglob("*") if path.is_file()] == []


@pytest.mark.ffmpeg
def test_the_papers_list_finds_its_files(catalog, folder, clip, tmp_path):
    (folder / "packs").mkdir()
    (folder / "packs" / f"{tiktok_id()}.mp4").write_bytes(clip.read_bytes())
    path = write(folder, [{"id": tiktok_id(), "views_k": 44.8}])

    result = bring(catalog, path, data=tmp_path / "data", media=folder / "packs")

    assert (result.format, result.n_media) == ("pairs", 1)


@pytest.mark.ffmpeg
def test_a_dry_run_checks_the_files_and_copies_none(catalog, packed, tmp_path):
    result = bring(catalog, packed, data=tmp_path / "data", dry_run=True)

    assert (result.n_media, result.media_failed) == (1, {"bad_media": 1})
    assert not (tmp_path / "data").exists()


def test_an_export_comes_back_as_it_was(catalog, folder, tmp_path):
    """Into its own catalog it brings nothing new, into another one everything."""
    given = (
        "id,views,views_k,platform,caption,observed_at\n"
        f"{tiktok_id()},30.58M,,tiktok,=cmd @x #a,2026-01-01\n"
        f"{tiktok_id(1)},,12.5,tiktok,b,2026-01-02\n"
        "AbC-_1,1234567,,youtube,'quoted,2026-01-03\n"
    )
    (folder / "given.csv").write_text(given)
    bring(catalog, folder / "given.csv")
    rows = (
        "SELECT tiktok_id, platform, views_k, step_k, observed_at, caption FROM video v"
        " JOIN view_observation o ON o.video_id = v.id ORDER BY 1"
    )
    before = ask(catalog, rows)
    for form in ("csv", "jsonl", "pairs"):
        path = folder / f"export.{form}"
        with path.open("w", newline="") as out, catalog.read() as session:
            export_videos(session, out, form)

        assert bring(catalog, path).n_observations == 0
        assert (ask(catalog, rows), counts(catalog)[3]) == (before, 0)
        (tmp_path / form).mkdir()
        with fresh_catalog(tmp_path / form) as other:
            assert bring(other, path).n_new_videos == 3
            if form != "pairs":
                named = [tuple(row)[:5] for row in before]
                assert [tuple(row)[:5] for row in ask(other, rows)] == named


def test_a_name_that_is_no_text_is_stored_as_one(catalog, folder):
    path = folder / os.fsdecode(b"a\xff\n.csv")
    path.write_text("id,views\nx,1\n")

    bring(catalog, path)

    assert ask(catalog, "SELECT source FROM rejected_row") == [(r"a\xff\n.csv",)]


def test_the_form_of_a_file_is_not_the_form_of_the_document(catalog, folder):
    counted = bring(catalog, write(folder, [actor_item()])).counts()

    assert counted["file_format"] == "actor"
    assert "format" not in counted


@pytest.mark.ffmpeg
def test_files_of_any_container_and_name_are_brought_and_the_rest_is_counted(
    catalog, folder, clip, tmp_path
):
    media = tmp_path / "media"
    media.mkdir()
    names = [f"@invented_video_{tiktok_id()}.mp4", f"a title [{tiktok_id(1)}].MKV"]
    for name, container in zip(names, ("mp4", "matroska"), strict=True):
        command = ["ffmpeg", "-v", "error", "-i", str(clip), "-c", "copy", "-f", container]
        subprocess.run([*command, str(media / name)], check=True, stdin=subprocess.DEVNULL)
    (media / f"{tiktok_id(2)}.webm").write_text("no video")
    (media / f"{tiktok_id(3)}.mp4").write_text("of no row")
    path = folder / "rows.csv"
    path.write_text("id,views\n" + "".join(f"{tiktok_id(n)},5\n" for n in range(3)))

    tried = bring(catalog, path, data=tmp_path / "data", media=media, dry_run=True)
    result = bring(catalog, path, data=tmp_path / "data", media=media)

    for found in (tried, result):
        assert (found.n_rows, found.n_media, found.rejected) == (3, 2, {})
        assert found.media_failed == {"bad_media": 1, "media_unused": 1}
    assert ask(catalog, "SELECT uri FROM media_file ORDER BY uri") == [
        (f"media/11/{tiktok_id()}.mp4",),
        (f"media/12/{tiktok_id(1)}.mkv",),
    ]


@pytest.fixture
def drafts(folder, clip):
    """Plain videos: two of one content, one in another container, one broken, odd names."""
    command = ["ffmpeg", "-v", "error", "-i", str(clip), "-c:v", "libvpx", "-deadline", "realtime"]
    whole = clip.read_bytes()
    (folder / "a cat.mp4").write_bytes(whole)
    (folder / os.fsdecode(b"caf\xe9\n.mp4")).write_bytes(whole)
    (folder / "cut.mp4").write_bytes(whole[:-200])
    (folder / "notes.mp4").write_text("no video")
    subprocess.run([*command, str(folder / "phone.webm")], check=True, stdin=subprocess.DEVNULL)
    return folder


@pytest.mark.ffmpeg
def test_a_folder_of_plain_videos_is_imported_once(catalog, drafts, tmp_path):
    data = tmp_path / "data"
    tried = bring(catalog, drafts, data=data, dry_run=True)
    result = bring(catalog, drafts, data=data)
    again = bring(catalog, drafts, data=data)

    for found in (tried, result, again):
        assert found.format == "videos"
        assert found.media_failed == {"bad_media": 2, "media_double": 1}
        assert {row.file for row in found.sample} == {"cut.mp4", "notes.mp4", r"caf\xe9\n.mp4"}
    assert (tried.n_media, result.n_media, again.n_media) == (2, 2, 0)
    assert (result.n_new_videos, result.n_observations) == (2, 0)
    assert (again.n_new_videos, again.n_known_videos) == (0, 2)
    assert result.outcome.exit_code == 4
    asked = "SELECT platform, caption, posted_at, latest_observation_id, url FROM video"
    assert ask(catalog, asked) == [("local", "", None, None, "")] * 2
    assert ask(catalog, "SELECT count(*) FROM video WHERE duration_s > 0 AND width_px > 0") == [
        (2,)
    ]
    kept = [uri for _, _, uri in ask(catalog, MEDIA)]
    assert {Path(uri).suffix for uri in kept} == {".mp4", ".webm"}
    assert all((data / uri).is_file() and uri.startswith("media/local/") for uri in kept)


@pytest.mark.ffmpeg
def test_a_local_video_is_never_visited_nor_fetched(catalog, drafts, tmp_path):
    bring(catalog, drafts, data=tmp_path / "data")
    now = datetime.now(UTC) + timedelta(days=1)

    with catalog.read() as session:
        assert count_to_refresh(session, observed_before=now) == 0
        assert count_media_to_fetch(session, every_platform=True) == 0


@pytest.mark.ffmpeg
def test_a_purged_local_video_stays_away_under_any_name(catalog, folder, clip, tmp_path):
    (folder / "a.mp4").write_bytes(clip.read_bytes())
    bring(catalog, folder, data=tmp_path / "data")
    [(video_id,)] = ask(catalog, "SELECT tiktok_id FROM video")
    with catalog.write() as session:
        purge(session, Named("local", {video_id: video_id}, {}), reason="asked")
    (folder / "a.mp4").rename(folder / "b.mp4")

    result = bring(catalog, folder, data=tmp_path / "data")

    assert (result.n_tombstoned, result.n_media, result.n_new_videos) == (1, 0, 0)


@pytest.mark.ffmpeg
def test_a_copy_of_a_known_videos_file_is_no_second_video(catalog, packed, clip, tmp_path):
    bring(catalog, packed, data=tmp_path / "data")
    other = tmp_path / "other"
    other.mkdir()
    (other / "copy.mp4").write_bytes(clip.read_bytes())

    result = bring(catalog, other, data=tmp_path / "data")

    assert (result.n_new_videos, result.media_failed) == (0, {"media_double": 1})
    assert tiktok_id() in result.sample[0].detail
    assert not list((tmp_path / "data" / "media" / "local").rglob("*.mp4"))


@pytest.mark.ffmpeg
def test_a_folder_of_broken_videos_is_no_success(catalog, folder, tmp_path):
    (folder / "a.mp4").write_text("no video")

    result = bring(catalog, folder, data=tmp_path / "data")

    assert (result.outcome.status, result.n_new_videos) == ("failed", 0)
    assert counts(catalog)[0] == 0


def test_without_media_a_local_video_is_left_aside_and_counted(catalog, folder):
    (folder / "a.mp4").write_text("x")

    result = bring(catalog, folder)

    assert (result.media_failed, counts(catalog)[0]) == ({"media_unused": 1}, 0)


def test_a_file_of_nothing_that_we_want_is_no_success(catalog, folder):
    result = bring(catalog, write(folder, [actor_item(isAd=True), actor_item(1, isAd=True)]))

    assert result.rejected == {"ad": 2}
    assert (result.outcome.status, result.outcome.exit_code) == ("failed", 1)
    assert result.outcome.codes["nothing_usable"] == 1


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_an_export_brings_author_sound_traits_and_reactions_elsewhere(
    catalog, elsewhere, folder, tmp_path, form
):
    music = {"musicId": "55", "musicName": "=a song", "musicAuthor": "-a band"}
    item = actor_item(
        diggCount=5, shareCount=0, textLanguage="en", musicMeta=music | {"musicOriginal": False}
    )
    bring(catalog, write(folder, [item]))
    path = tmp_path / f"export.{form}"
    with path.open("w", newline="", encoding="utf-8") as out, catalog.read() as session:
        export_videos(session, out, form, keep_mentions=True)
    bring(elsewhere, path)
    there, here = told(elsewhere), told(catalog)
    for table in ("account", "sound", "video"):
        assert there[table] == here[table] != [], table
    columns = "n_likes, n_shares, n_saves, views_k, step_k"
    seen = f"SELECT {columns} FROM view_observation"
    assert ask(elsewhere, seen) == ask(catalog, seen) != []


@pytest.fixture
def elsewhere(tmp_path):
    """A second catalog, which knows nothing."""
    (tmp_path / "elsewhere").mkdir()
    with fresh_catalog(tmp_path / "elsewhere") as opened:
        yield opened


def exported(catalog, path, **options):
    with catalog.read() as session, path.open("w", encoding="utf-8") as out:
        export_videos(session, out, "facts", **options)
    return path


def test_all_facts_of_a_catalog_come_over_into_another(catalog, elsewhere, folder, tmp_path):
    bring(catalog, write(folder, [actor_item(n) for n in range(30)]))
    bring(catalog, write(folder, [actor_item(n, playCount=10**6 + n) for n in range(20)], "b.json"))
    path = exported(catalog, tmp_path / "facts.jsonl", keep_mentions=True)

    planned = bring(elsewhere, path, dry_run=True)
    first, second = bring(elsewhere, path), bring(elsewhere, path)

    assert told(elsewhere) == told(catalog)
    assert len(told(catalog)["view_observation"]) == 50
    assert (planned.n_rows, planned.outcome) == (first.n_rows, None)
    assert (first.n_new_videos, first.n_known_videos, first.n_observations) == (30, 0, 50)
    assert (second.n_new_videos, second.n_known_videos, second.n_observations) == (0, 30, 0)
    assert (first.outcome.status, second.outcome.status) == ("ok", "ok")


def test_a_damaged_fact_costs_itself(catalog, elsewhere, folder, tmp_path):
    bring(catalog, write(folder, [actor_item(n) for n in range(3)]))
    path = exported(catalog, tmp_path / "facts.jsonl")
    lines = path.read_text().splitlines()
    damaged = next(n for n, line in enumerate(lines) if '"video"' in line)
    lines[damaged] = lines[damaged].replace('"posted_at": "2', '"posted_at": "x2')
    path.write_text("\n".join([*lines[:-1], lines[-1][:-20]]))

    result = bring(elsewhere, path)

    assert result.rejected == {"not_a_fact": 1, "not_json": 1}
    assert (result.n_new_videos, result.outcome.status) == (1, "partial")
    reasons = ask(elsewhere, "SELECT line, reason FROM rejected_row ORDER BY line")
    assert reasons == [(damaged + 1, "not_a_fact"), (len(lines), "not_json")]


def test_a_time_that_was_derived_never_replaces_one_that_was_stated(catalog, folder):
    stated = "id,views,createTime\n" + f"{tiktok_id()},5000,2025-11-16T11:06:40Z\n"
    (folder / "stated.csv").write_text(stated)
    (folder / "later.csv").write_text(f"id,views\n{tiktok_id()},9000\n")
    posted = "SELECT posted_at FROM video"

    bring(catalog, folder / "later.csv", observed_at=datetime(2026, 1, 1, tzinfo=UTC))
    assert str(ask(catalog, posted)[0][0]).startswith("2025-11-12")
    bring(catalog, folder / "stated.csv", observed_at=datetime(2026, 1, 2, tzinfo=UTC))
    bring(catalog, folder / "later.csv", observed_at=datetime(2026, 1, 3, tzinfo=UTC))
    assert str(ask(catalog, posted)[0][0]).startswith("2025-11-16 11:06:40")


def test_what_a_table_says_beside_the_count_is_stored(catalog, folder):
    header = "id,views,author,followers,bio,likes,music_id,music_name,language,isSponsored"
    row = f"{tiktok_id()},5000,somebody,1.2M,four,7,75718,A song,en,True"
    (folder / "a.csv").write_text(f"{header}\n{row}\n")
    bring(catalog, folder / "a.csv")

    asked = "SELECT n_followers, bio_chars FROM account_observation"
    assert [tuple(row) for row in ask(catalog, asked)] == [(1_200_000, 4)]
    assert [tuple(row) for row in ask(catalog, "SELECT platform_id, title FROM sound")] == [
        ("75718", "A song")
    ]
    asked = (
        "SELECT language, is_ad, n_likes FROM video v JOIN view_observation o ON v.id = video_id"
    )
    assert [tuple(row) for row in ask(catalog, asked)] == [("en", True, 7)]


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_an_export_keeps_the_author(catalog, folder, tmp_path, form):
    (folder / "a.csv").write_text(f"id,views,author\n{tiktok_id()},5000,somebody\n")
    bring(catalog, folder / "a.csv")
    with (folder / f"b.{form}").open("w", newline="") as out, catalog.read() as session:
        export_videos(session, out, form)

    keys = "SELECT author_key FROM account a JOIN video v ON v.account_id = a.id"
    [[before]] = ask(catalog, keys)
    with fresh_catalog(tmp_path) as other:
        bring(other, folder / f"b.{form}")
        assert ask(other, keys)[0][0] == before


def test_facts_bring_names_only_where_handles_are_kept(catalog, elsewhere, folder, tmp_path):
    item = actor_item(1, musicMeta={"musicId": "7", "musicName": "original sound - somebody"})
    bring(catalog, write(folder, [item]), keep_handles=True)
    with catalog.write() as session:
        session.execute(text("UPDATE sound SET title = 'original sound - somebody'"))
        want_accounts(session, "tiktok", {"c" * 32: "wanted"}, T0)
    path = exported(catalog, tmp_path / "facts.jsonl", keep_mentions=True)
    names = "SELECT handle FROM account WHERE handle IS NOT NULL"

    bring(elsewhere, path)
    assert ask(elsewhere, names) == [("wanted",)]
    assert ask(elsewhere, "SELECT title FROM sound") == [(None,)]
    bring(elsewhere, path, keep_handles=True)
    assert told(elsewhere) == told(catalog)
