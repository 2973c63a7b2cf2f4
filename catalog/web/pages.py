"""The HTML pages: Jinja2 templates that escape every value, and what the report is filled with."""

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog.files import atomic_file
from catalog.read import ledger, reports
from catalog.schema.forecasts import Prediction
from catalog.schema.session import Catalog
from catalog.schema.tables import Run
from catalog.schema.types import utc_now
from catalog.verdict import LEAST_GAIN, MIN_EVIDENCE
from catalog.web import charts
from catalog.work.runs import Outcome, code_version, record_run

if TYPE_CHECKING:
    from catalog.console import App

# More points than this are one blot, and a page that no mail program opens.
MAX_POINTS = 2_000
N_NIGHTS = 14  # rows of the ledger
PRETRAIN_FIGURES = (
    ("reconstructions.png", "Clips that it was not trained on, and their reconstructions."),
    ("epochs.png", "One clip after several epochs."),
)


def number_text(value: float | None, digits: int) -> str:
    """Return so many significant digits, or all of those before the point; – for no number."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 10 ** (digits - 1) else f"{value:,.{digits}g}"


# Captions, handles and error texts come from strangers: nothing is markup but the templates.
# A name that a template misspells is an error and not an empty cell.
TEMPLATES = Environment(
    loader=PackageLoader("catalog.web"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    extensions=["jinja2.ext.do"],
)
TEMPLATES.filters["number"] = number_text
TEMPLATES.globals["layout"] = charts


def render(template: str, **values: Any) -> str:
    """Fill a template of this room into one page that needs no script and no network."""
    return TEMPLATES.get_template(template).render(values)


def report_path(data_folder: Path) -> Path:
    """Return where the report lies when nobody says otherwise."""
    return data_folder / "report.html"


def write_report_step(app: "App", *, quiet: bool, parent_id: int | None = None) -> Outcome:  # noqa: ARG001 - every stage of a night is called alike
    """Write the report to its usual place and record that as a run."""
    path = report_path(app.settings.data_folder)
    with record_run(app.catalog, "report", params={"path": path}, parent_id=parent_id) as run:
        run.expect(1)
        write_report(
            app.catalog,
            path,
            app.settings.data_folder,
            least_gain=app.settings.verdict.least_gain,
        )
        run.done()
    return run.outcome


def write_report(
    catalog: Catalog,
    path: Path,
    data_folder: Path | None = None,
    *,
    least_gain: float = LEAST_GAIN,
) -> Path:
    """Write the report of the catalog as it is now to `path`, all or nothing; return `path`.

    data_folder: where runs have left figures; those of the newest pre-training are shown.
    least_gain: the setting verdict.least_gain.
    """
    with catalog.read() as session:
        page = render("report.html", **_report(session, data_folder, least_gain))
    with atomic_file(path) as temporary:
        temporary.write_text(page, "utf-8")
    return path


def _report(session: Session, data_folder: Path | None, least_gain: float) -> dict[str, Any]:
    """Read what the report shows."""
    return {
        "title": "viewcast report",
        "made": utc_now().strftime("%Y-%m-%d %H:%M UTC"),
        "version": code_version(),
        "leaderboard": reports.leaderboard(session, 30, least_gain=least_gain),
        "least_gain": least_gain,
        "min_evidence": MIN_EVIDENCE,
        "scored": _newest_scores(session),
        "gaps": reports.gaps(session, 12),
        "weeks": reports.weeks(session),
        "nights": ledger.nights(session, N_NIGHTS),
        "waiting": ledger.standing(session, utc_now()),
        "explained": reports.explained(session),
        "pretrained": None if data_folder is None else _pretrained(session, data_folder),
        "runs": reports.runs(session, limit=25),
        "coverage": reports.coverage(session),
        "failures": reports.failure_counts(session),
        "totals": [{"table": name, "n": n} for name, n in reports.totals(session).items()],
    }


def _newest_scores(session: Session) -> dict[str, Any] | None:
    """Read the (shown, predicted) views of the newest run that scored a video with a count."""
    scored = (
        select(Prediction.run_id)
        .join(Run, Run.id == Prediction.run_id)
        .where(Run.kind == "score", Prediction.actual_k.is_not(None))
    )
    run_id = session.scalar(scored.order_by(Prediction.run_id.desc()).limit(1))
    if run_id is None:
        return None
    pairs = session.execute(
        select(Prediction.actual_k, Prediction.predicted_k)
        .where(Prediction.run_id == run_id, Prediction.actual_k.is_not(None))
        .order_by(Prediction.video_id)
        .limit(MAX_POINTS)
    )
    return {"run_id": run_id, "pairs": [tuple(pair) for pair in pairs]}


def _pretrained(session: Session, data_folder: Path) -> dict[str, Any] | None:
    """Read the pictures that the newest finished pre-training has left (paper, Fig. 3 to 6)."""
    newest = select(Run.id).where(Run.kind == "pretrain", Run.status == "ok", Run.n_done > 0)
    run_id = session.scalar(newest.order_by(Run.id.desc()).limit(1))
    folder = data_folder / "runs" / str(run_id)
    pictures = [
        # In the page itself, which may be mailed.
        (caption, base64.b64encode((folder / name).read_bytes()).decode("ascii"))
        for name, caption in PRETRAIN_FIGURES
        if (folder / name).is_file()
    ]
    if run_id is None or not pictures:
        return None
    return {"run_id": run_id, "page": folder / "figures.html", "pictures": pictures}
