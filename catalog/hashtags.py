"""Hashtags and topics by name."""

from collections.abc import Iterable, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog.errors import BadValue
from catalog.rows import chunks, insert_into
from catalog.tables import Hashtag, Topic


def plain_hashtag(name: str) -> str:
    """Return a hashtag as the catalog keeps it: lower case, without '#'. Raises BadValue."""
    plain = name.strip().removeprefix("#").lower()
    if not plain or plain.startswith("#") or len(plain) > 200:
        raise BadValue(f"{name!r} is no hashtag: give its name, such as 'dance'")
    return plain


def ensure_names(session: Session, entity: type[Topic | Hashtag], names: Sequence[str]) -> None:
    """Make what is not there yet."""
    if names:
        rows = [{"name": name} for name in names]
        session.execute(insert_into(session, entity).on_conflict_do_nothing(), rows)


def ids_by_name(
    session: Session, entity: type[Topic | Hashtag], names: Iterable[str]
) -> dict[str, int]:
    """Return the id of each name that is there."""
    found: dict[str, int] = {}
    for chunk in chunks(sorted(set(names))):
        rows = session.execute(select(entity.name, entity.id).where(entity.name.in_(chunk)))
        found.update((name, row_id) for name, row_id in rows)
    return found
