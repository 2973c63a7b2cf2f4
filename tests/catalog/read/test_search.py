"""Words are found in what is said and on screen, on both databases; what is gone is not found."""

import json
import re
import sqlite3
from contextlib import closing

import pytest
from click.testing import CliRunner
from sqlalchemy import event, text

from catalog.commands.reading import search as search_command
from catalog.console import App
from catalog.errors import BadQuery
from catalog.read.search import search, snippet
from catalog.record.retention import purge
from catalog.schema.schema_check import is_ours
from catalog.schema.session import (
    Catalog,
    check,
    downgrade,
    open_catalog,
    read_only_rows,
    sqlite_path,
    upgrade,
)
from catalog.work.claims import FeatureDone, claim_features, enrol_features, finish_feature
from tests.catalog.factories import SHA, add_feature_set, add_media, add_videos, named
from tests.fresh_catalog import ask

SAID = [
    "The quick brown fox jumps over the lazy dog. It is 5:30, don't be late!",
    "An ill-disposed reader said: the dog is lazy; visit example.org, dancing all day.",
    "Schöne Füchse tanzen im Café. The quick answer is 42.",
    "",
]


def heard(text_: str) -> dict[str, object]:
    return {
        "status": "ok",
        "language": "en" if text_ else None,
        "language_prob": 0.93,
        "speech_s": 7 if text_ else 0,
        "text": text_,
    }


def add_transcripts(catalog: Catalog, texts: list[str], *, name: str = "a") -> int:
    """Hear each video in turn; return the feature set."""
    set_id = add_feature_set(catalog, "audio", name)
    with catalog.write() as session:
        enrol_features(session, set_id, needs_feature_set_id=None)
    claims = claim_features(catalog, set_id, owner="factory", limit=len(texts))
    with catalog.write() as session:
        for claim, said in zip(claims, texts, strict=True):
            done = FeatureDone("x", 0, SHA, (7, 8), "float32", 1, 0.1, heard(said))
            assert finish_feature(session, set_id, claim, "factory", done)
    return set_id


@pytest.fixture
def four(catalog: Catalog) -> list[int]:
    """Four videos, of which three say something."""
    ids = add_videos(catalog, 4)
    add_media(catalog)
    add_transcripts(catalog, SAID)
    return ids


def find(catalog: Catalog, *phrases: str, limit: int = 20) -> list[int]:
    with catalog.read() as session:
        return [said.video_id for said in search(session, phrases, limit=limit)]


FOUND: list[tuple[list[str], set[int]]] = [
    (["dog"], {0, 1}),
    (["DOG", "fox"], {0}),
    (["quick"], {0, 2}),
    (["lazy dog"], {0}),
    (["dog lazy"], set()),
    (["fox", "42"], set()),
    (["disposed"], {1}),
    (["ill-disposed"], {1}),
    (["example.org"], {1}),
    (["example"], {1}),
    (["5:30"], {0}),
    (["don't"], {0}),
    (["füchse"], {2}),
    (["cAFé"], {2}),
    (["danc*"], {1}),
    (["the qu*"], {0, 2}),
    (["danc"], set()),
    (["do", "not"], set()),
]
MARKED = ["-dog", "dog:", "(dog", "dog)", "^dog", "+dog", "dog;", "{dog}", "dog'", "dog\\", "%dog"]
MARKED += ["dog&", "|dog", "!dog", "<dog>", "dog,", '"dog', 'dog"', '"dog"', "\udcffdog"]


def test_a_video_is_found_by_what_is_said(catalog, four):
    for phrases, places in FOUND:
        assert set(find(catalog, *phrases)) == {four[place] for place in places}, phrases


def test_no_mark_and_no_word_has_a_meaning(catalog, four):
    for phrase in MARKED:
        assert set(find(catalog, phrase)) == {four[0], four[1]}, phrase
    for word in ("and", "AND", "OR", "NOT", "NEAR", "text:dog"):
        assert find(catalog, word, "dog") == [], word


def test_a_phrase_without_a_word_is_refused(catalog, four):
    for phrase in ("", " ", '"', "*", "--", "…", "\udcff"):
        with pytest.raises(BadQuery, match="give words of letters or digits"):
            find(catalog, "dog", phrase)


def test_what_is_found_says_where(catalog, four):
    with catalog.read() as session:
        (said,) = search(session, ["fox"], limit=5)
    assert said.tiktok_id == "7300000000000000001"
    assert (said.language, said.speech_s, said.text) == ("en", 7.0, SAID[0])
    assert said.snippet == "The quick brown [fox] jumps over the lazy dog. It is 5:30, don't be…"


def test_no_more_than_asked_for_are_returned(catalog, four):
    assert len(find(catalog, "quick", limit=1)) == 1


def test_a_video_heard_twice_is_found_once_by_its_newest_set(catalog, four):
    newest = add_transcripts(catalog, ["dog, heard again", "", "", ""], name="b")
    with catalog.read() as session:
        found = search(session, ["dog"], limit=5)
    assert {(said.video_id, said.feature_set_id) for said in found if said.video_id == four[0]} == {
        (four[0], newest)
    }


def test_what_changes_is_found_as_it_is(catalog, four):
    first = four[0]
    update = "UPDATE feature SET {} WHERE video_id = :id"
    with catalog.write() as session:
        detail = json.dumps(heard("a zebra"))
        session.execute(text(update.format("detail = :detail")), {"id": first, "detail": detail})
    assert (find(catalog, "zebra"), find(catalog, "fox")) == ([first], [])
    with catalog.write() as session:
        session.execute(text(update.format("status = 'pending'")), {"id": first})
    assert find(catalog, "zebra") == []
    with catalog.write() as session:
        session.execute(text(update.format("status = 'done'")), {"id": first})
        session.execute(text(update.format("uri = 'elsewhere'")), {"id": first})
    assert find(catalog, "zebra") == [first]


def test_only_what_is_heard_is_looked_through(catalog, four):
    clips = add_feature_set(catalog, "clip")
    with catalog.write() as session:
        enrol_features(session, clips, needs_feature_set_id=None)
    (claim,) = claim_features(catalog, clips, owner="factory", limit=1)
    with catalog.write() as session:
        done = FeatureDone("x", 0, SHA, (1,), "uint8", 1, 0.1, {"text": "unheard"})
        assert finish_feature(session, clips, claim, "factory", done)
    assert find(catalog, "unheard") == []


def add_screens(catalog: Catalog, texts: list[str], *, name: str = "a") -> int:
    """Read the screen of each video in turn; return the feature set."""
    set_id = add_feature_set(catalog, "ocr", name)
    with catalog.write() as session:
        enrol_features(session, set_id, needs_feature_set_id=None)
    claims = claim_features(catalog, set_id, owner="factory", limit=len(texts))
    with catalog.write() as session:
        for claim, lines in zip(claims, texts, strict=True):
            n_lines = len(lines.split("\n")) if lines else 0
            told = {"text": lines, "n_lines": n_lines, "share": 0.25 * n_lines}
            told["first_text_s"] = 0.5 if lines else None
            done = FeatureDone("x", 0, SHA, (4, 3), "float32", 1, 0.1, told)
            assert finish_feature(session, set_id, claim, "factory", done)
    return set_id


def test_what_is_on_screen_is_found_and_told_apart(catalog, four):
    screens = add_screens(catalog, ["wait for the dog\npart two", "a zebra", "the dog", ""])
    with catalog.read() as session:
        found = {one.video_id: one for one in search(session, ["dog"], limit=9)}
        said = search(session, ["dog"], limit=9, places=["said"])
        shown = search(session, ["dog"], limit=9, places=["screen"])
        (zebra,) = search(session, ["zebra"], limit=9)
    assert {video_id: set(one.found_in) for video_id, one in found.items()} == {
        four[0]: {"said", "screen"},
        four[1]: {"said"},
        four[2]: {"screen"},
    }
    assert {one.video_id for one in said} == {four[0], four[1]}
    assert {one.found_in for one in said} == {("said",)}
    assert {one.video_id for one in shown} == {four[0], four[2]}
    assert (zebra.feature_set_id, zebra.language, zebra.speech_s) == (screens, None, None)
    assert (zebra.snippet, zebra.text) == ("a [zebra]", "a zebra")
    assert found[four[2]].snippet == "the [dog]"
    (two,) = (one for one in shown if one.video_id == four[0])
    assert two.snippet == "wait for the [dog] / part two"
    # All words are in one place, not one here and another there.
    assert find(catalog, "fox", "two") == []
    assert find(catalog, "dog", "part two") == [four[0]]


def test_a_screen_read_twice_is_found_once_and_what_changes_as_it_is(catalog, four):
    add_screens(catalog, ["a zebra"])
    newest = add_screens(catalog, ["a zebra again"], name="b")
    with catalog.read() as session:
        (one,) = search(session, ["zebra"], limit=9)
    assert (one.feature_set_id, one.found_in) == (newest, ("screen",))
    with catalog.write() as session:
        session.execute(text("UPDATE feature SET status = 'pending' WHERE detail IS NOT NULL"))
    assert find(catalog, "zebra") == find(catalog, "dog") == []


def test_the_view_has_a_row_for_every_screen_that_was_read(catalog, four):
    set_id = add_screens(catalog, ["wait for it\npart two", ""])
    sql = "SELECT video_id, feature_set_id, n_lines, share, first_text_s, text FROM v_screen_text"
    assert sorted(ask(catalog, sql)) == [
        (four[0], set_id, 2, 0.5, 0.5, "wait for it\npart two"),
        (four[1], set_id, 0, 0.0, None, ""),
    ]


def test_the_view_has_a_row_for_all_that_was_read_for_words(catalog, four):
    sql = "SELECT video_id, language, language_prob, speech_s, text FROM v_transcript"
    rows = ask(catalog, sql)
    assert sorted(rows) == [
        (video_id, "en" if said else None, 0.93, 7.0 if said else 0.0, said)
        for video_id, said in zip(four, SAID, strict=True)
    ]


def test_the_words_that_were_refused_stand_with_what_spoke_against_them(catalog, four):
    numbers = {
        "language_prob": 0.41,
        "no_speech_prob": 0.3,
        "avg_logprob": -1.25,
        "compression": 1.1,
    }
    refused = {
        "start_s": 30,
        "end_s": 44.5,
        "reason": "improbable",
        "text": "la la",
        "language": "fr",
    }
    undecoded = {"start_s": 0, "end_s": 30, "reason": "no_speech", "text": None, "language": "en"}
    older = {"start_s": 60, "reason": "repetitive"}
    windows = [undecoded, refused | numbers | {"voice_s": 2.5}, older]
    set_id = add_feature_set(catalog, "audio", "z")
    with catalog.write() as session:
        enrol_features(session, set_id, needs_feature_set_id=None)
    (claim,) = claim_features(catalog, set_id, owner="factory", limit=1)
    with catalog.write() as session:
        detail = {"text": "", "dropped": windows}
        done = FeatureDone("x", 0, SHA, (7, 8), "float32", 1, 0.1, detail)
        assert finish_feature(session, set_id, claim, "factory", done)
    columns = "start_s, end_s, reason, text, language, avg_logprob, compression, voice_s"
    sql = f"SELECT {columns} FROM v_unheard_window WHERE tiktok_id IS NOT NULL ORDER BY start_s"
    nothing = [None] * 3
    assert [list(row) for row in ask(catalog, sql)] == [
        [0.0, 30.0, "no_speech", None, "en", *nothing],
        [30.0, 44.5, "improbable", "la la", "fr", -1.25, 1.1, 2.5],
        [60.0, None, "repetitive", None, None, *nothing],
    ]
    # What a user asks who is content with less.
    lower = "SELECT text FROM v_unheard_window WHERE avg_logprob > -1.3 AND compression < 2.4"
    assert [list(row) for row in ask(catalog, lower)] == [["la la"]]


def test_a_purged_video_s_words_are_gone(catalog, four):
    path = sqlite_path(catalog.url)
    secret = "xylophonist"
    with catalog.write() as session:
        session.execute(
            text("UPDATE feature SET detail = :detail WHERE video_id = :id"),
            {"id": four[0], "detail": json.dumps(heard(f"{secret} {SAID[0]}"))},
        )
    assert find(catalog, secret) == [four[0]]
    add_screens(catalog, [f"{secret} on screen", "a dog"])
    with catalog.write() as session:
        tiktok_ids = ["7300000000000000001"]
        purge(session, named(tiktok_ids), reason="asked")
    assert find(catalog, secret) == []
    assert find(catalog, "dog") == [four[1]]
    if path is not None:
        catalog.close()  # the last connection takes the log into the file
        assert secret.encode() not in path.read_bytes()
        with closing(sqlite3.connect(path)) as connection:
            integrity = "INSERT INTO transcript_search(transcript_search) VALUES('integrity-check')"
            connection.execute(integrity)


def test_a_catalog_that_is_copied_is_searched_alike(catalog, four, tmp_path):
    """As `.backup` does, and as a copy table by table would: the triggers fill the index."""
    path = sqlite_path(catalog.url)
    if path is None:
        pytest.skip("a copy of SQLite's file")
    with (
        closing(sqlite3.connect(path)) as source,
        closing(sqlite3.connect(tmp_path / "copy.db")) as target,
    ):
        source.backup(target)
        target.execute("VACUUM")
    copy = open_catalog(f"sqlite:///{tmp_path / 'copy.db'}")
    assert set(find(copy, "dog")) == {four[0], four[1]}
    copy.close()
    assert check(f"sqlite:///{tmp_path / 'copy.db'}") == []


def test_an_older_catalog_is_searched_after_its_upgrade(tmp_path):
    url = f"sqlite:///{tmp_path / 'old.db'}"
    upgrade(url)
    catalog = open_catalog(url)
    ids = add_videos(catalog, 4)
    add_media(catalog)
    add_transcripts(catalog, SAID)
    catalog.close()
    downgrade(url, "0002")
    upgrade(url)
    catalog = open_catalog(url)
    assert set(find(catalog, "dog")) == set(ids[:2])
    catalog.close()


def test_screens_are_searched_from_0006_on(tmp_path):
    url = f"sqlite:///{tmp_path / 'old.db'}"
    upgrade(url)
    catalog = open_catalog(url)
    ids = add_videos(catalog, 2)
    add_media(catalog)
    add_transcripts(catalog, ["a dog", "a fox"])
    add_screens(catalog, ["a fox", "a zebra"])
    catalog.close()

    def indexed() -> list[str]:
        with closing(sqlite3.connect(tmp_path / "old.db")) as connection:
            rows = connection.execute("SELECT text FROM transcript_search").fetchall()
        return sorted(words for (words,) in rows)

    assert indexed() == ["a dog", "a fox", "a fox", "a zebra"]
    downgrade(url, "0005")
    assert indexed() == ["a dog", "a fox"]
    upgrade(url)
    assert indexed() == ["a dog", "a fox", "a fox", "a zebra"]
    catalog = open_catalog(url)
    assert find(catalog, "zebra") == [ids[1]]
    catalog.close()
    assert check(url) == []


def test_a_reader_may_look_words_up_in_sql(catalog, four):
    if sqlite_path(catalog.url) is None:
        sql = "SELECT video_id FROM v_transcript WHERE TO_TSVECTOR('simple', text) @@ 'fox'"
    else:
        sql = (
            "SELECT t.video_id FROM transcript_search s JOIN v_transcript t"
            " ON t.feature_set_id = s.rowid >> 40 AND t.video_id = s.rowid & 1099511627775"
            " WHERE transcript_search MATCH 'fox'"
        )
    with read_only_rows(catalog, sql) as (_columns, rows):
        assert list(rows) == [(four[0],)]


def test_the_index_is_used(catalog, four):
    asked = []

    def note(_connection, _cursor, statement, parameters, _context, _many):
        asked.append((statement, parameters))

    event.listen(catalog.engine, "before_cursor_execute", note)
    assert find(catalog, "dog", "laz*")
    event.remove(catalog.engine, "before_cursor_execute", note)
    statement, parameters = asked[-1]
    with catalog.engine.connect() as connection:
        if sqlite_path(catalog.url) is None:
            # Four rows are sooner read through, or by their status. All is undone in the end.
            connection.execute(text("SET LOCAL enable_seqscan = off"))
            connection.execute(text("DROP INDEX ix_feature_feature_set_id_status_error_code"))
            explain, steps = "EXPLAIN ", ["Index Scan on transcript_search"]
        else:
            explain = "EXPLAIN QUERY PLAN "
            steps = ["VIRTUAL TABLE INDEX", "(feature_set_id=? AND video_id=?)"]
        plan = connection.exec_driver_sql(explain + statement, parameters).all()
    for step in steps:
        assert any(step in str(line) for line in plan), plan


@pytest.mark.parametrize(
    ("statement", "lines"),
    [
        ("DROP TRIGGER transcript_search_update", ["search missing: transcript_search_update"]),
        ("DROP TABLE transcript_search", ["search missing: transcript_search"]),
    ],
)
def test_what_is_missing_is_named_on_sqlite(tmp_path, statement, lines):
    url = f"sqlite:///{tmp_path / 'catalog.db'}"
    upgrade(url)
    assert check(url) == []
    with closing(sqlite3.connect(tmp_path / "catalog.db")) as connection:
        connection.execute(statement)
    assert check(url) == lines


@pytest.mark.postgres
def test_what_is_missing_is_named_on_postgres(request):
    server = request.getfixturevalue("postgres")
    url = server.create("searchless")
    upgrade(url)
    catalog = open_catalog(url)
    with catalog.write() as session:
        session.execute(text("DROP INDEX transcript_search"))
    catalog.close()
    assert check(url) == ["search missing: transcript_search"]
    server.drop("searchless")


def test_only_tables_and_indexes_are_left_to_their_files():
    assert not is_ours("transcript_search_data", "table")
    assert not is_ours("transcript_search", "index")
    assert is_ours("transcript", "table")
    assert is_ours("v_anything", "column")


@pytest.mark.parametrize(
    ("whole", "expected"),
    [
        ("a dog", "a [dog]"),
        ("dogs and cats " * 5 + "the Dog sat " + "on the mat " * 9,
         "…" + "dogs and cats " * 3 + "the [Dog] sat on the mat" + " on the mat" * 3 + "…"),
        ("nothing of it", "nothing of it"),
        ("nothing " * 30, "nothing " * 11 + "no…"),
        ("longwordwithoutanyspace" * 9 + " dog", None),
    ],
)  # fmt: skip
def test_a_snippet_shows_the_words_among_others(whole, expected):
    shown = snippet(whole, re.compile(r"\bdog\b", re.IGNORECASE))
    if expected is not None:
        assert shown == expected
    assert ("[dog]" in shown.lower()) == ("dog " in whole.lower() + " ")


def test_the_command_prints_what_is_said(catalog, four, tmp_path):
    def call(*words: str):
        app = App(flags={"db": catalog.url, "data": tmp_path})
        result = CliRunner().invoke(search_command, list(words), obj=app, catch_exceptions=False)
        app.catalog.close()
        return result

    def found(result) -> list[dict[str, object]]:
        return json.loads(result.stdout)["videos"]

    document = json.loads(call("lazy", "dog", "--json").stdout)
    assert document["words"] == ["lazy", "dog"]
    assert {video["tiktok_id"] for video in document["videos"]} == {
        "7300000000000000001", "7300000000000000002",
    }  # fmt: skip
    shown = call("fox").output
    assert "7300000000000000001" in shown
    assert "[fox]" in shown
    assert "first 1 videos" in call("dog", "--limit", "1").output
    assert json.loads(call("dog", "--limit", "1", "--json").stdout)["truncated"] is True
    assert "more with --limit" not in call("dog", "--limit", "2").output, "there are two"
    assert document["truncated"] is False
    assert call("giraffe").output == "in no video\n"
    add_screens(catalog, ["Giraffes here", "a lazy dog"])
    assert [video["found_in"] for video in found(call("giraffe*", "--json"))] == [["screen"]]
    assert found(call("giraffe*", "--in", "said", "--json")) == []
    by_place = {
        place: {video["tiktok_id"][-1] for video in found(call("lazy", "--in", place, "--json"))}
        for place in ("said", "screen", "all")
    }
    assert by_place == {"said": {"1", "2"}, "screen": {"2"}, "all": {"1", "2"}}
    assert "screen" in call("giraffe*").output
