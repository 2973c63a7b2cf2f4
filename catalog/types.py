"""The three column types that mean the same on SQLite and PostgreSQL, and the clock."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Integer
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine


def utc_now() -> datetime:
    """Return the present moment as an aware UTC time."""
    return datetime.now(UTC)


def plain_json(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return `document` as it will come back from a JSON column (tuples become lists)."""
    plain: dict[str, Any] = json.loads(canonical_json(document))
    return plain


def canonical_json(document: object) -> str:
    """Return the one JSON text of `document`: sorted keys, no spaces, no NaN.

    Paths, dates and other foreign values are written as their text.
    Raises ValueError when a number in it is not finite.
    """
    return json.dumps(document, sort_keys=True, separators=(",", ":"), default=str, allow_nan=False)


def sha256_text(text: str) -> str:
    """Return the hexadecimal SHA-256 of `text` in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time; a naive one is refused, for nobody knows what it means."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn an aware time into UTC. Raises ValueError for a naive one."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone; the catalog stores aware UTC times only")
        utc = value.astimezone(UTC)
        # SQLite keeps text and knows no zones: all text is UTC, so it also sorts by time.
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(
        self,
        value: datetime | None,
        dialect: Dialect,  # noqa: ARG002 - SQLAlchemy's signature
    ) -> datetime | None:
        """Give every time read its zone, UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class BigId(TypeDecorator[int]):
    """A 64-bit surrogate key that the database counts up by itself."""

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Use INTEGER on SQLite, the only type it numbers by itself."""
        return dialect.type_descriptor(Integer() if dialect.name == "sqlite" else BigInteger())


class JsonDoc(TypeDecorator[Any]):
    """A JSON document: JSONB on PostgreSQL, text on SQLite; None is NULL."""

    impl = JSON
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose JSONB where there is one."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(JSONB(none_as_null=True))
        return dialect.type_descriptor(JSON(none_as_null=True))
