"""All facts of a catalog, written and taken into another."""

import io
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from catalog.errors import BadValue
from catalog.facts import AccountFacts, Reactions, SoundFacts, Traits
from catalog.read.exports import export_videos
from catalog.record.accounts import want_accounts, want_sounds, want_videos
from catalog.record.facts_file import is_facts_form, read_fact, take_facts, write_facts
from catalog.record.hashtags import add_topics, mark_listed
from catalog.record.retention import purge
from catalog.record.sightings import mark_gone, store_sightings
from catalog.schema.forecasts import METADATA
from tests.catalog.factories import T0, named, seen, video_facts
from tests.fresh_catalog import FACTS, ask, fresh_catalog, told

ID, OTHER, GONE = "7301234567890123457", "7301234567890123458", "7301234567890123459"
HOUR = timedelta(hours=1)


@pytest.fixture
def full(catalog):
    """A catalog with something in every table of facts, and in every column of it."""
    sound = SoundFacts("55", "a song", "a band", False, 30.0, 12_000)
    account = AccountFacts(100, 5, 2_000, 7, True, 30, "DE")
    traits = Traits("de", "AT", True, False, True, 2)
    video = video_facts(
        ID,
        caption="see @somebody #dance",
        hashtags=("dance", "fun"),
        account=account,
        sound=sound,
        traits=traits,
        handle="somebody",
    )
    liked = replace(seen(5.0), reactions=Reactions(3, 2, 1, 0))
    with catalog.write() as session:
        add_topics(session, {"Dance": ["dance", "dancechallenge"]})
        store_sightings(session, [(video, liked)], run_id=None, found_by="dance")
        store_sightings(
            session,
            [
                (replace(video, account=None), seen(9.0, at=T0 + 5 * HOUR, source="dom")),
                (video_facts(OTHER, platform="youtube", posted_at=None), seen(None)),
                (video_facts(GONE), seen(0.0)),
            ],
            run_id=None,
            found_by=None,
        )
        mark_listed(session, "dance", T0)
        ids = dict(session.execute(select(METADATA.tables["video"].c["tiktok_id", "id"])).all())
        mark_gone(session, ids[GONE], T0 + HOUR, "deleted")
        want_videos(session, "tiktok", {"7301234567890123460": ""}, T0)
        want_accounts(session, "tiktok", {"b" * 32: "wanted"}, T0)
        want_sounds(session, "tiktok", ["66"], T0)
        purge(session, named(["1"], ["c" * 32]), reason="asked")
    return catalog


@pytest.fixture
def other(tmp_path):
    (tmp_path / "other").mkdir()
    with fresh_catalog(tmp_path / "other") as opened:
        yield opened


def written(catalog, redact=None) -> list[Any]:
    out = io.StringIO()
    with catalog.read() as session:
        write_facts(session, out, redact=redact)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def take(catalog, lines):
    facts = [read_fact(line) for line in lines if not is_facts_form(line)]
    with catalog.write() as session:
        return take_facts(session, facts, None)


def test_all_tables_of_facts_are_equal_in_the_new_catalog(full, other):
    lines = written(full)
    counts = take(other, lines)
    assert told(other) == told(full)
    assert all(told(full)[name] for name in FACTS)
    assert {name: counts[name] for name in FACTS} == {
        name: len(rows) for name, rows in told(full).items()
    }
    again = take(other, lines)
    assert (sum(again.values()), told(other)) == (0, told(full))
    assert sorted(map(str, written(other))) == sorted(map(str, lines))


def test_every_column_of_facts_is_filled_in_the_fixture(full):
    empty = {}
    with full.read() as session:
        for name in FACTS:
            table = METADATA.tables[name]
            for column in table.columns:
                found = session.scalar(select(column).where(column.is_not(None)).limit(1))
                if found is None:
                    empty.setdefault(name, []).append(column.name)
    runs = ("account_observation", "sound_observation", "view_observation")
    assert empty == {name: ["run_id"] for name in runs} | {
        "account": ["listed_at"],
        "sound": ["listed_at"],
        "tombstone": ["files_left"],
    }


def test_names_are_left_out_unless_asked_for(full):
    lines = written(full, redact=lambda caption: caption.replace("@somebody", "@…"))
    assert "somebody" not in json.dumps(lines)
    assert "wanted" not in [line["account"]["handle"] for line in lines if "account" in line]


def test_what_was_purged_does_not_come_back(full, other):
    lines = written(full)
    with other.write() as session:
        purge(session, named([GONE], ["author-7"]), reason="asked")
    counts = take(other, lines)
    assert counts["tombstoned"] == 3  # a video, an account, and its video
    assert ask(other, f"select 1 from video where tiktok_id in ('{GONE}', '{ID}')") == []


def test_what_is_known_stays_and_gaps_are_filled(full, other):
    mine = video_facts(ID, caption="my words", duration_s=None, hashtags=())
    with other.write() as session:
        store_sightings(session, [(mine, seen(1.0, at=T0 + 9 * HOUR))], run_id=None, found_by=None)
    take(other, written(full))
    [row] = ask(
        other,
        f"select caption, duration_s, views_k, language from v_video where tiktok_id = '{ID}'",
    )
    assert tuple(row) == ("my words", 9.5, 1.0, "de")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda _line: {"views": 1}, "'views' is no kind of fact"),
        (lambda _line: [], "no kind of fact"),
        (lambda _line: {"video": 5}, "no video as an export writes it"),
        (lambda line: {"video": {**line["video"], "posted_at": "yesterday"}}, "Invalid isoformat"),
        (lambda line: {"video": {**line["video"], "tiktok_id": None}}, "tiktok_id is null"),
        (lambda line: {"video": {**line["video"], "n_mentions": -1}}, "n_mentions -1 cannot be"),
        (lambda line: {"video": {**line["video"], "is_ad": "no"}}, "is_ad 'no' cannot be"),
        (lambda line: {"video": {**line["video"], "hashtags": {"#x": "caption"}}}, "no hashtag"),
        (
            lambda line: {
                "video": {n: value for n, value in line["video"].items() if n != "caption"}
            },
            "'caption' is missing",
        ),
    ],
)
def test_a_line_that_is_no_fact_is_refused_with_what_is_wrong(full, change, said):
    line = next(line for line in written(full) if "video" in line)
    with pytest.raises(BadValue, match=said):
        read_fact(change(line))


@pytest.mark.parametrize(
    "change",
    [
        {"caption": "a\0b"},
        {"caption": "\ud800"},
        {"url": "\0"},
        {"author_key": "\0"},
        {"tiktok_id": ""},
        {"tiktok_id": "../../x"},
        {"platform": "../x"},
        {"sound": ""},
        {"hashtags": {"a\0b": "caption"}},
        {"hashtags": {"Ä": "caption"}},
        {"posted_at": "0001-01-01T00:00:00+14:00"},
        {"posted_at": "9999-12-31T23:59:59-14:00"},
        {"duration_s": 1e400},
        {"observed": {"observed_at": "2999-01-01T00:00:00+00:00"}},
        {"observed": {"views_k": 1e13}},
        {"observed": {"step_k": 1e13}},
        {"observed": {"views_k": None}},
        {"observed": {"step_k": None}},
        {"observed": {"n_likes": 2**63}},
        {"observed": {"source": "elsewhere"}},
    ],
)
def test_what_no_table_takes_costs_one_line(full, other, change):
    line = next(
        line["video"] for line in written(full) if "video" in line and line["video"]["observations"]
    )
    bad = line | change
    if "observed" in change:
        bad["observations"] = [line["observations"][0] | bad.pop("observed")]
    with pytest.raises(BadValue):
        read_fact({"video": bad})


@pytest.mark.parametrize("name", ["", "#dance", "Dance", "a\0b", "\udc00"])
def test_a_hashtag_as_no_catalog_has_it_is_refused(name):
    with pytest.raises(BadValue):
        read_fact({"hashtag": {"name": name, "listed_at": None}})


def test_whose_video_it_is_is_known_without_the_accounts_own_line(full, other):
    lines = [line for line in written(full) if not {"account", "sound"} & line.keys()]
    counts = take(other, lines)
    [row] = ask(
        other,
        "select author_key, platform_id from video v join account a on a.id = v.account_id"
        f" join sound s on s.id = v.sound_id where tiktok_id = '{ID}'",
    )
    assert row == ("author-7", "55")
    assert (counts["account"], counts["sound"]) == (3, 1)


def test_one_fact_in_two_lines_and_twice_in_a_line_is_one(full, other):
    lines = written(full)
    for line in [*lines]:
        [(kind, row)] = line.items()
        if "observations" in row:
            lines.append({kind: row | {"observations": row["observations"] * 2}})
    take(other, lines)
    assert told(other) == told(full)


def test_very_many_observations_stand_in_several_lines(full, other):
    many = [(video_facts(ID), seen(20.0 + n, at=T0 + n * HOUR)) for n in range(10, 2_510)]
    with full.write() as session:
        store_sightings(session, many, run_id=None, found_by=None)
    lines = written(full)
    lengths = [
        len(line["video"]["observations"])
        for line in lines
        if "video" in line and line["video"]["tiktok_id"] == ID
    ]
    assert (max(lengths), sum(lengths)) == (1_000, 2_502)
    take(other, lines)
    assert told(other) == told(full)


def test_reactions_fill_a_gap(full, other):
    with other.write() as session:
        store_sightings(session, [(video_facts(ID), seen(5.0))], run_id=None, found_by=None)
    take(other, written(full))
    rows = ask(other, "select n_likes from view_observation where n_likes is not null")
    assert rows == [(3,)]


def test_a_sound_or_an_address_that_names_somebody_stays_here(full):
    own = SoundFacts("77", "original sound - somebody", "somebody", True, 9.0)
    url = "https://example.org/somebody/1"
    video = video_facts("77", platform="x", url=url, handle="Somebody", author_key="k", sound=own)
    wanted = "https://www.youtube.com/@somebody/78"
    with full.write() as session:
        store_sightings(session, [(video, seen(1.0))], run_id=None, found_by=None)
        want_videos(session, "youtube", {"78": wanted}, T0)
    outs = {name: io.StringIO() for name in ("csv", "jsonl", "facts")}
    kept = io.StringIO()
    with full.read() as session:
        for name, out in outs.items():
            export_videos(session, out, name)
        export_videos(session, kept, "facts", keep_mentions=True)
    assert [name for name, out in outs.items() if "somebody" in out.getvalue().lower()] == []
    assert all(text in kept.getvalue() for text in (own.title, url, wanted))


def test_a_form_of_the_future_is_refused():
    assert is_facts_form({"form": {"name": "viewcast facts", "version": 1}})
    assert not is_facts_form({"form": 5})
    with pytest.raises(BadValue, match="this viewcast reads 1"):
        is_facts_form({"form": {"name": "viewcast facts", "version": 2}})
