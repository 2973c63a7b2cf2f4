"""Look words up in what is said in videos and written on screen, in the databases' own index."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import text
from sqlalchemy.orm import Session

from catalog.errors import BadQuery

N_AROUND: Final = 45  # characters shown on either side of what was looked for
#: What parts words: everything but letters and digits.
_BETWEEN: Final = r"[\W_]+"
#: Of that, what PostgreSQL's parser would find a meaning in: host names, compounds, numbers.
_MARKS: Final = r"[!-/:-@\[-`{-~]+"
#: As in the index, or it would not be used.
_WORDS: Final = f"REGEXP_REPLACE(f.detail ->> 'text', '{_MARKS}', ' ', 'g')"

#: Where words are looked up, and the kind of feature set that has them.
PLACES: Final = {"said": "audio", "screen": "ocr"}

# Of a video that was heard, or read, in several ways the newest feature set counts; of one that is
# found in both places the better one is shown.
_SHOWN: Final = """
SELECT b.tiktok_id, b.video_id, b.feature_set_id, b.kind, b.n_places, {columns}
FROM (
    SELECT
        n.*,
        ROW_NUMBER() OVER (PARTITION BY n.video_id ORDER BY n.badness, n.kind) AS place,
        COUNT(*) OVER (PARTITION BY n.video_id) AS n_places
    FROM (
        SELECT
            v.tiktok_id,
            f.video_id,
            f.feature_set_id,
            f.detail,
            s.kind,
            h.badness,
            ROW_NUMBER() OVER (
                PARTITION BY f.video_id, s.kind ORDER BY f.feature_set_id DESC
            ) AS age
        FROM hits h
        JOIN feature f ON f.feature_set_id = h.feature_set_id AND f.video_id = h.video_id
        JOIN feature_set s ON s.id = f.feature_set_id AND s.kind IN ({kinds})
        JOIN video v ON v.id = f.video_id
    ) n
    WHERE n.age = 1
) b
WHERE b.place = 1
ORDER BY b.badness, b.video_id DESC
LIMIT :limit
"""
_SQLITE: Final = """
WITH hits AS MATERIALIZED (
    SELECT
        rowid >> 40 AS feature_set_id,
        rowid & 1099511627775 AS video_id,
        rank AS badness
    FROM transcript_search
    WHERE transcript_search MATCH :phrases
)
""" + _SHOWN.replace(
    "{columns}",
    """
    JSON_EXTRACT(b.detail, '$.language'),
    CAST(JSON_EXTRACT(b.detail, '$.speech_s') AS REAL),
    JSON_EXTRACT(b.detail, '$.text')""",
)
_POSTGRES: Final = f"""
WITH hits AS MATERIALIZED (
    SELECT
        f.feature_set_id,
        f.video_id,
        -TS_RANK_CD(TO_TSVECTOR('simple', {_WORDS}), q.wanted) AS badness
    FROM feature f
    CROSS JOIN (SELECT {{wanted}} AS wanted) q
    WHERE f.status = 'done'
        AND f.detail ->> 'text' <> ''
        AND TO_TSVECTOR('simple', {_WORDS}) @@ q.wanted
)
""" + _SHOWN.replace(
    "{columns}",
    """
    b.detail ->> 'language',
    CAST(b.detail ->> 'speech_s' AS DOUBLE PRECISION),
    b.detail ->> 'text'""",
)


@dataclass(frozen=True)
class Found:
    """A video in which the words are. found_in: where, the place that is shown first.

    snippet: the place, the words in square brackets. language, speech_s: of what is said only.
    """

    tiktok_id: str
    video_id: int
    feature_set_id: int
    found_in: tuple[str, ...]
    language: str | None
    speech_s: float | None
    snippet: str
    text: str


def search(
    session: Session, phrases: Sequence[str], *, limit: int, places: Collection[str] = PLACES
) -> list[Found]:
    """Return the videos that say every phrase, or have it on their screen, the best first.

    All phrases are in one of the places. A phrase is one word, or several that follow each other.
    Upper and lower case are the same (of letters beyond ASCII on PostgreSQL as the database's
    locale has it), accents are not. A star at its end lets its last word go on. Nothing else has a
    meaning. Raises BadQuery for a phrase without a letter or digit.
    """
    phrases = [_readable(phrase) for phrase in phrases]
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    statement, values = (_for_sqlite if is_sqlite else _for_postgres)(phrases)
    kinds = ", ".join(f"'{PLACES[place]}'" for place in places)
    rows = session.execute(text(statement.replace("{kinds}", kinds)), {**values, "limit": limit})
    wanted = re.compile("|".join(map(_pattern, phrases)), re.IGNORECASE)
    place_of = {kind: place for place, kind in PLACES.items()}
    found = []
    for tiktok_id, video_id, set_id, kind, n_places, language, speech_s, whole in rows:
        shown = place_of[kind]
        others = (place for place in PLACES if place != shown and n_places > 1)
        shot = snippet(" / ".join(whole.splitlines()), wanted)
        found.append(
            Found(tiktok_id, video_id, set_id, (shown, *others), language, speech_s, shot, whole)
        )
    return found


def forget_deleted(session: Session) -> None:
    """Take the words of deleted rows out of the index's file, where only their rows are gone.

    On SQLite FTS5 notes a deletion beside the old words until it merges them; PostgreSQL's vacuum
    does the same by itself.
    """
    if session.get_bind().dialect.name == "sqlite":
        statement = "INSERT INTO transcript_search (transcript_search) VALUES ('optimize')"
        session.execute(text(statement))


def snippet(whole: str, said: re.Pattern[str]) -> str:
    """Cut out the first place of a text that matches, with some characters on either side."""
    found = said.search(whole)
    if found is None:  # the database folds more letters into one than a pattern does
        return whole if len(whole) <= 2 * N_AROUND else whole[: 2 * N_AROUND].rstrip() + "…"
    start, end = max(0, found.start() - N_AROUND), min(len(whole), found.end() + N_AROUND)
    # Not in the midst of a word.
    start = whole.rfind(" ", 0, start) + 1 if start else 0
    end = end if end == len(whole) else (whole.find(" ", end) + 1 or len(whole) + 1) - 1
    marked = said.sub(lambda place: f"[{place[0]}]", whole[start:end])
    return ("…" if start else "") + marked + ("…" if end < len(whole) else "")


def _readable(phrase: str) -> str:
    if not any(map(str.isalnum, phrase)):
        raise BadQuery(f"nothing to look for in {phrase!r}: give words of letters or digits")
    # What came in as bytes that are no text cannot go out as text.
    return phrase.encode("utf-8", "replace").decode()


def _for_sqlite(phrases: Sequence[str]) -> tuple[str, dict[str, str]]:
    # In quotation marks nothing has a meaning but the quotation mark.
    quoted = ['"' + phrase.replace('"', " ") + '"' for phrase in phrases]
    stars = [" *" if _goes_on(phrase) else "" for phrase in phrases]
    return _SQLITE, {"phrases": " AND ".join(map(str.__add__, quoted, stars))}


def _for_postgres(phrases: Sequence[str]) -> tuple[str, dict[str, str]]:
    parts = []
    for number, phrase in enumerate(phrases):
        part = f"PHRASETO_TSQUERY('simple', :phrase{number})"
        if _goes_on(phrase):
            part = f"CAST(NULLIF(CAST({part} AS text), '') || ':*' AS tsquery)"
        parts.append(part)
    values = {f"phrase{n}": re.sub(_MARKS, " ", phrase) for n, phrase in enumerate(phrases)}
    return _POSTGRES.replace("{wanted}", " && ".join(parts)), values


def _pattern(phrase: str) -> str:
    words = (re.escape(word) for word in re.split(_BETWEEN, phrase) if word)
    tail = "" if _goes_on(phrase) else r"(?![^\W_])"
    return r"(?<![^\W_])" + _BETWEEN.join(words) + tail


def _goes_on(phrase: str) -> bool:
    return phrase.rstrip().endswith("*")
