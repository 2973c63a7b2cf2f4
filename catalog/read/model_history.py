"""Which version of a model is used, which ones were before, and which challengers were refused."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Double, Integer, String, column, select, table
from sqlalchemy.orm import Session, aliased

from catalog.errors import NotFound
from catalog.facts import ModelFacts
from catalog.read.lookup import find_model, newest_model
from catalog.record.lineage import PRODUCTION, model_facts
from catalog.schema.forecasts import ModelVersion
from catalog.schema.tables import Run
from catalog.schema.types import UtcDateTime

#: The kind of run whose trainings are of challengers.
RETRAIN = "retrain"


@dataclass(frozen=True)
class Change:
    """A line of a model's history: an alias that was moved, or a challenger that was refused.

    The fields are the columns of the view `v_model_history`.
    """

    at: datetime
    model_name: str
    alias: str
    action: str
    from_version: int | None
    to_version: int
    set_by: str
    reason: str
    metric: str | None
    n: int | None
    rival: str | None
    value: float | None
    rival_value: float | None
    diff_low: float | None
    diff_high: float | None
    run_id: int | None


_NUMBERS = ("value", "rival_value", "diff_low", "diff_high")
_WHOLE = ("event_id", "from_version", "to_version", "n", "run_id")
_TEXTS = ("model_name", "alias", "action", "set_by", "reason", "metric", "rival")
_VIEW = table(
    "v_model_history",
    column("at", UtcDateTime),
    *(column(name, Double) for name in _NUMBERS),
    *(column(name, Integer) for name in _WHOLE),
    *(column(name, String) for name in _TEXTS),
)


def model_history(session: Session, name: str | None = None) -> list[Change]:
    """Return what became of the aliases and challengers of a model, or of all; the oldest first."""
    wanted = select(*(_VIEW.c[field] for field in Change.__dataclass_fields__))
    if name is not None:
        wanted = wanted.where(_VIEW.c.model_name == name)
    return [Change(*row) for row in session.execute(wanted.order_by(_VIEW.c.event_id))]


def refused(changes: Sequence[Change]) -> dict[tuple[str, int], str]:
    """Return why versions were refused that have not been promoted since, by name and version."""
    found: dict[tuple[str, int], str] = {}
    for change in changes:
        of = (change.model_name, change.to_version)
        if change.action == "refused":
            found[of] = change.reason
        else:
            found.pop(of, None)
    return found


def versions_before(changes: Sequence[Change], alias: str = PRODUCTION) -> list[int]:
    """Return what an alias of one model meant before what it means now, the newest last.

    A rollback takes back what came after the version that it goes to: rolled back once more, the
    alias goes one farther and not to and fro.
    """
    path: list[int] = []
    for change in changes:
        if change.alias != alias or change.action == "refused":
            continue
        if change.action == "rolled back" and change.to_version in path:
            del path[path.index(change.to_version) :]
        elif change.to_version in path[-1:]:
            continue  # promoted as what it is already
        path.append(change.to_version)
    return path[:-1]


def model_in_use(session: Session, name: str) -> tuple[ModelFacts, str | None]:
    """Return the version that a bare NAME stands for, and a remark where nobody has promoted one.

    It is NAME@production, or where there is none the newest version; a challenger of a retraining
    is used only once it is promoted. Raises NotFound, listing what exists.
    """
    if (model := newest_model(session, name, alias=PRODUCTION)) is not None:
        return model, None
    parent = aliased(Run)
    is_challenger = (
        select(Run.id)
        .join(parent, parent.id == Run.parent_id)
        .where(Run.id == ModelVersion.train_run_id, parent.kind == RETRAIN)
        .exists()
    )
    wanted = select(ModelVersion).where(ModelVersion.name == name, ~is_challenger)
    row = session.scalar(wanted.order_by(ModelVersion.version.desc()).limit(1))
    if row is not None:
        return model_facts(row), (
            f"no version of {name} is @{PRODUCTION}: the newest one, version {row.version}, is used"
        )
    newest = find_model(session, name=name)
    raise NotFound(
        f"no version of {name} is @{PRODUCTION}, and retraining has promoted none of those that "
        f"it made: see `viewcast models history {name}`, and name one, such as "
        f"{name}:{newest.version}, or promote it with `viewcast models promote`"
    )
