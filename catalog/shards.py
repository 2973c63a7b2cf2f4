"""Which features lie in which shard, so that a shard can be written anew without some rows."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from catalog.tables import Feature


@dataclass(frozen=True)
class ShardRow:
    """A feature in a shard."""

    feature_set_id: int
    video_id: int
    row: int
    sha256: str


def rows_in_shard(session: Session, uri: str) -> list[ShardRow]:
    """Return what the catalog still has in a shard, in the order of its rows."""
    found = session.execute(
        select(Feature.feature_set_id, Feature.video_id, Feature.row, Feature.sha256)
        .where(Feature.uri == uri, Feature.status == "done")
        .order_by(Feature.row)
    )
    return [
        ShardRow(set_id, video_id, row, sha256)
        for set_id, video_id, row, sha256 in found
        if row is not None and sha256 is not None
    ]


def move_rows(
    session: Session, uri: str, rows: Sequence[ShardRow], new: Sequence[tuple[str, int]]
) -> None:
    """Let features of a shard lie at other places; one that was extracted anew meanwhile stays."""
    for row, (new_uri, new_row) in zip(rows, new, strict=True):
        session.execute(
            update(Feature)
            .where(
                Feature.feature_set_id == row.feature_set_id,
                Feature.video_id == row.video_id,
                Feature.uri == uri,
                Feature.row == row.row,
            )
            .values(uri=new_uri, row=new_row)
        )
