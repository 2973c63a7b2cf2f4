"""A purge removes all there is of a video, says what has seen it, and can be interrupted."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event

from catalog.ages import AgeRule
from catalog.errors import Busy
from catalog.facts import PredictionFacts, SoundFacts
from catalog.record.accounts import ensure_sounds
from catalog.record.ages import keep_ages
from catalog.record.facts_file import take_facts
from catalog.record.lineage import store_predictions
from catalog.record.retention import (
    files_left,
    find_to_purge,
    mark_clean,
    move_rows,
    purge,
    rows_in_shard,
)
from catalog.record.sightings import store_sightings
from catalog.record.site_days import set_pause
from catalog.schema.forecasts import METADATA, Judgement
from catalog.work.claims import claim_media, enrol_media
from catalog.work.runs import record_run
from tests.catalog.factories import (
    SHA,
    T0,
    add_feature_set,
    add_features,
    add_media,
    add_model,
    add_split,
    add_videos,
    named,
    seen,
    video_facts,
)
from tests.fresh_catalog import ask

FIRST, SECOND = "7300000000000000001", "7300000000000000002"
OF_A_VIDEO = [
    table.name
    for table in METADATA.sorted_tables
    if "video_id" in table.columns or table.name == "video"
]


def remove(catalog, *tiktok_ids, authors=()):
    with catalog.write() as session:
        return purge(session, named(tiktok_ids, authors), reason="asked for")


def rows_of(catalog, video_id):
    counted = {}
    for table in OF_A_VIDEO:
        column = "id" if table == "video" else "video_id"
        sql = f"SELECT COUNT(*) FROM {table} WHERE {column} = :id"
        counted[table] = ask(catalog, sql, id=video_id)[0][0]
    return counted


def test_all_rows_of_a_video_go_and_those_of_others_stay(catalog):
    first, second = add_videos(catalog, 2)
    add_media(catalog)
    clips = add_feature_set(catalog)
    add_features(catalog, clips)
    model_id = add_model(catalog, split_id=add_split(catalog, [first, second]))
    with (
        record_run(catalog, "score", params={}, model_version_id=model_id) as run,
        catalog.write() as session,
    ):
        facts = [
            PredictionFacts(video_id, 1.0, None, None, None, None, SHA, "new")
            for video_id in (first, second)
        ]
        store_predictions(session, run.id, facts)
        forecast = {"run_id": run.id, "model_version_id": model_id, "horizon_s": 99_999_999}
        opened = {"made_at": T0, "due_at": T0 + timedelta(days=9), "status": "open"}
        session.add_all(Judgement(video_id=one, **forecast, **opened) for one in (first, second))
    keep_ages(catalog, [3 * 86_400], AgeRule())  # the age at which they were seen
    with record_run(catalog, "fetch", params={}) as run:
        run.done()
        run.failed(FIRST, "gone", f"video {FIRST} is gone")
    before = rows_of(catalog, second)
    assert all(rows_of(catalog, first).values())

    purged = remove(catalog, FIRST)

    assert (purged.n_videos, purged.n_media, purged.n_features, purged.n_predictions) == (
        1, 1, 1, 1,
    )  # fmt: skip
    assert purged.splits == ("s1",)
    assert purged.models == ("fused:1",)
    assert not any(rows_of(catalog, first).values())
    assert rows_of(catalog, second) == before
    # Not in the journal either, but the fact that something was purged is.
    assert ask(catalog, "SELECT COUNT(*) FROM event WHERE subject = :id", id=FIRST) == [(0,)]
    assert ask(catalog, "SELECT COUNT(*) FROM event WHERE code = 'purged'") == [(1,)]


def test_an_author_goes_with_all_videos(catalog):
    add_videos(catalog, 11)  # the author's key is the id's last digit: 1 and 11 are of one
    with catalog.read() as session:
        found = find_to_purge(session, named(authors=["author-1"]))
    assert (found.n_accounts, found.missing) == (1, ())
    assert sorted(found.videos.values()) == [FIRST, "7300000000000000011"]
    assert remove(catalog, authors=["author-1"]).n_videos == 2
    assert ask(catalog, "SELECT COUNT(*) FROM account WHERE author_key = 'author-1'") == [(0,)]
    kinds = ask(catalog, "SELECT kind, COUNT(*) FROM tombstone GROUP BY kind ORDER BY kind")
    assert kinds == [("author", 1), ("video", 2)]


def test_files_are_remembered_until_they_are_cleaned(catalog):
    add_videos(catalog, 1)
    add_media(catalog)
    remove(catalog, FIRST)
    with catalog.read() as session:
        [left] = files_left(session)
    assert left.media == (f"{FIRST}.mp4",)
    with catalog.write() as session:
        mark_clean(session, left.tombstone_id)
        assert files_left(session) == []
    assert ask(catalog, "SELECT COUNT(*) FROM tombstone") == [(1,)]


def test_purging_twice_or_what_is_not_there_is_no_error(catalog):
    assert remove(catalog, SECOND).n_videos == 0
    assert remove(catalog, SECOND).n_videos == 0
    assert ask(catalog, "SELECT key FROM tombstone") == [(SECOND,)]


def test_a_video_that_a_run_is_working_on_is_refused(catalog):
    add_videos(catalog, 1)
    with catalog.write() as session:
        enrol_media(session)
    assert claim_media(catalog, owner="a run", limit=1)
    with pytest.raises(Busy, match="a run"):
        remove(catalog, FIRST)
    assert ask(catalog, "SELECT COUNT(*) FROM tombstone") == [(0,)]


def test_rows_of_a_shard_move_together(catalog):
    add_videos(catalog, 2)
    add_media(catalog)
    add_features(catalog, add_feature_set(catalog))
    [(uri,)] = ask(catalog, "SELECT DISTINCT uri FROM feature LIMIT 1")
    with catalog.write() as session:
        rows = rows_in_shard(session, uri)
        move_rows(session, uri, rows, [("new", 100 + i) for i in range(len(rows))])
        assert rows_in_shard(session, uri) == []
        assert [row.row for row in rows_in_shard(session, "new")] == [
            100 + i for i in range(len(rows))
        ]


def test_what_the_journal_and_the_pauses_have_of_an_account_and_a_video_goes(catalog):
    add_videos(catalog, 2)
    until = datetime.now(UTC) + timedelta(days=1)
    with record_run(catalog, "scrape", params={}) as run:
        for key in ("author-1", "author-2"):
            run.note(f"account {key}", "listed", {"n_videos": 1})
    with catalog.write() as session:
        for scope in ("account author-1", "account author-2", f"@{FIRST}", f"@{SECOND}", "#dance"):
            set_pause(session, "www.tiktok.com", scope, until, "private")

    remove(catalog, authors=["author-1"])

    subjects = ask(catalog, "SELECT subject FROM event WHERE code = 'listed'")
    assert subjects == [("account author-2",)]
    scopes = ask(catalog, "SELECT scope FROM site_pause ORDER BY 1")
    assert scopes == [("#dance",), (f"@{SECOND}",), ("account author-2",)]


def test_only_original_sounds_that_the_purged_videos_had_go(catalog):
    def with_sound(number, sound):
        facts = replace(video_facts(f"73000000000000000{number}"), sound=sound)
        with catalog.write() as session:
            store_sightings(session, [(facts, seen())], run_id=None, found_by=None)
        return facts.tiktok_id

    own, shared, song = (
        SoundFacts("700001", is_original=True, n_videos=1),
        SoundFacts("700002", is_original=True, n_videos=2),
        SoundFacts("700003", is_original=False, n_videos=3),
    )
    gone = [with_sound(number, sound) for number, sound in ((11, own), (12, shared), (13, song))]
    with_sound(14, shared)
    with catalog.write() as session:
        # Its page was listed, and showed no video that could be kept.
        ensure_sounds(session, "tiktok", [SoundFacts("700004", is_original=True)])

    remove(catalog, *gone)

    assert ask(catalog, "SELECT platform_id FROM sound ORDER BY 1") == [
        ("700002",),
        ("700003",),
        ("700004",),
    ]
    assert ask(catalog, "SELECT COUNT(*) FROM sound_observation") == [(2,)]


@pytest.mark.parametrize("n_videos", [2, 30])
def test_many_are_purged_without_reading_whole_tables_for_each(catalog, n_videos):
    if catalog.engine.dialect.name != "sqlite":
        pytest.skip("only SQLite makes its indexes for the while")
    add_videos(catalog, 40)
    schema = ask(catalog, "SELECT name, sql FROM sqlite_master ORDER BY 1, 2")
    ids = [name for (name,) in ask(catalog, "SELECT tiktok_id FROM video ORDER BY id")]
    asked: list[str] = []
    listen = ("before_cursor_execute", lambda *told: asked.append(told[2]))
    event.listen(catalog.engine, *listen)
    try:
        remove(catalog, *ids[:n_videos])
    finally:
        event.remove(catalog.engine, *listen)

    made = sum(statement.startswith("CREATE INDEX") for statement in asked)
    assert (made > 0) == (n_videos > 4)
    assert ask(catalog, "SELECT name, sql FROM sqlite_master ORDER BY 1, 2") == schema
    left = ask(catalog, "SELECT tiktok_id FROM video ORDER BY id")
    assert left == [(name,) for name in ids[n_videos:]]
    assert ask(catalog, "SELECT COUNT(*) FROM view_observation") == [(40 - n_videos,)]


def test_files_are_remembered_though_the_tombstone_came_before(catalog):
    add_videos(catalog, 1)
    add_media(catalog)
    name = "7300000000000000001"
    line = {"platform": "tiktok", "kind": "video", "key": name, "at": T0, "reason": "elsewhere"}
    with catalog.write() as session:
        take_facts(session, [("tombstone", line)], None)
    with catalog.erase() as session:
        purge(session, named([name]), reason="asked")
    with catalog.read() as session:
        assert [left.media for left in files_left(session)] == [(f"{name}.mp4",)]


def test_more_are_named_than_a_statement_has_parameters(catalog):
    add_videos(catalog, 1)
    many = [str(n) for n in range(70_000)]
    ids, authors = [*many, "7300000000000000001"], [*many, "author-1"]
    with catalog.read() as session:
        found = find_to_purge(session, named(ids, authors))
    assert (len(found.videos), found.n_accounts, len(found.missing)) == (1, 1, 140_000)


def test_a_sound_that_others_use_does_not_name_who_was_purged(catalog):
    own = SoundFacts("7", "original sound - somebody", "somebody", True, 9.0)
    song = SoundFacts("8", "a song", "a band", False, 9.0)
    with catalog.write() as session:
        sightings = [
            (video_facts(name, author_key=f"author-{n}", sound=sound), seen())
            for n, names in enumerate((("1", "2"), ("3", "4")))
            for name, sound in zip(names, (own, song), strict=True)
        ]
        store_sightings(session, sightings, run_id=None, found_by=None)
    remove(catalog, authors=["author-0"])
    found = ask(catalog, "SELECT platform_id, title, author FROM sound ORDER BY platform_id")
    assert found == [("7", None, None), ("8", "a song", "a band")]
