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
from catalog.record.accounts import want_accounts, want_sounds, want_videos
from catalog.record.facts_file import is_facts_form, read_fact, take_facts, write_facts
from catalog.record.hashtags import add_topics, mark_listed
from catalog.record.retention import purge
from catalog.record.sightings import mark_gone, store_sightings
from catalog.schema.tables import Base
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
        ids = dict(
            session.execute(select(Base.metadata.tables["video"].c["tiktok_id", "id"])).all()
        )
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
            table = Base.metadata.tables[name]
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


def test_a_form_of_the_future_is_refused():
    assert is_facts_form({"form": {"name": "viewcast facts", "version": 1}})
    assert not is_facts_form({"form": 5})
    with pytest.raises(BadValue, match="this viewcast reads 1"):
        is_facts_form({"form": {"name": "viewcast facts", "version": 2}})
