"""The report as one self-contained HTML page: no script, no network, nothing to install."""

import base64
import html
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog.files import atomic_file
from catalog.read import reports
from catalog.schema.session import Catalog
from catalog.schema.tables import Prediction, Run
from catalog.schema.types import utc_now
from catalog.web.charts import scatter
from catalog.work.runs import Outcome, code_version, record_run

if TYPE_CHECKING:
    from catalog.console import App

Columns = Sequence[tuple[str, str]]


def section(title: str, columns: Columns, rows: Sequence[dict[str, Any]]) -> str:
    """Draw a heading and a table; columns: name in a row -> heading."""
    head = "".join(f"<th>{text(label)}</th>" for _, label in columns)
    if not rows:
        return f"<h2>{text(title)}</h2><p class='note'>Nothing yet.</p>"
    body = "".join(
        "<tr>" + "".join(_cell(name, row[name]) for name, _ in columns) + "</tr>" for row in rows
    )
    return (
        f"<h2>{text(title)}</h2><div class='wide'>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cell(name: str, value: object) -> str:
    if name in SHOWN and value is not None:
        return SHOWN[name](value)
    if value is None:
        return "<td>–</td>"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"<td>{text(value)}</td>"
    if name.endswith("id") or isinstance(value, int):
        return f"<td class='n'>{value}</td>"
    return f"<td class='n'>{value:,.{'3g' if abs(value) < 100 else '0f'}}</td>"


def _verdict(value: object) -> str:
    tone = "good" if value == "better" else ""
    return f"<td class='{tone}'>{text(value)}</td>"


def _status(value: object) -> str:
    tone = "bad" if value in ("failed", "lost", "dead") else ""
    return f"<td class='{tone}'>{text(value)}</td>"


SHOWN: dict[str, Callable[[object], str]] = {
    "verdict": _verdict,
    "status": _status,
    "started_at": lambda value: f"<td>{text(str(value)[:16])}</td>",
    "finished_at": lambda value: f"<td>{text(str(value)[:16])}</td>",
    "config_hash": lambda value: f"<td>{text(str(value)[:12])}</td>",
}


def text(value: object) -> str:
    """Escape whatever it is."""
    # Captions, handles and error texts come from strangers.
    return html.escape(str(value), quote=True)


# More points than this are one blot, and a page that no mail program opens.
MAX_POINTS = 2_000
LEADERBOARD: Columns = (
    ("run_id", "run"),
    ("kind", "kind"),
    ("model_name", "model"),
    ("model_version", "version"),
    ("part", "part"),
    ("verdict", "than constants"),
    ("n", "n"),
    ("mse_k2", "MSE (k²)"),
    ("mse_k2_train_mean", "… mean"),
    ("mse_k2_train_median", "… median"),
    ("mae_k", "MAE (k)"),
    ("mae_k_train_mean", "… mean"),
    ("mae_k_train_median", "… median"),
    ("spearman", "Spearman"),
    ("log_mae", "log-MAE"),
)
RUNS: Columns = (
    ("id", "run"),
    ("kind", "kind"),
    ("status", "status"),
    ("slot", "slot"),
    ("started_at", "started"),
    ("finished_at", "finished"),
    ("n_total", "of"),
    ("n_done", "done"),
    ("n_skipped", "skipped"),
    ("n_failed", "failed"),
    ("error", "error"),
)
COVERAGE: Columns = (
    ("kind", "kind"),
    ("config_hash", "set"),
    ("n_videos", "videos"),
    ("n_media", "with media"),
    ("n_done", "done"),
    ("n_skipped", "skipped"),
    ("n_pending", "pending"),
    ("n_leased", "in work"),
    ("n_failed", "failed"),
    ("n_dead", "dead"),
    ("n_not_enrolled", "not enrolled"),
)
FAILURES: Columns = (("stage", "stage"), ("error_code", "code"), ("status", "status"), ("n", "n"))
GAPS: Columns = (
    ("tiktok_id", "video"),
    ("model_name", "model"),
    ("part", "part"),
    ("predicted_k", "predicted (k)"),
    ("views_k", "shown (k)"),
    ("ratio", "ratio"),
    ("verdict", "ran"),
)
WEEKS: Columns = (
    ("week", "week of"),
    ("model_name", "model"),
    ("part", "part"),
    ("n", "n"),
    ("mae_k", "MAE (k)"),
    ("bias_k", "bias (k)"),
    ("log_mae", "log-MAE"),
    ("bias_log", "log bias"),
    ("coverage", "in 80 % interval"),
)
IMPORTANCE: Columns = (
    ("block", "block"),
    ("present", "share of videos"),
    ("log_mae", "log-MAE rises by"),
    ("log_mae_low", "from"),
    ("log_mae_high", "to"),
    ("spearman", "Spearman falls by"),
)
EFFECTS: Columns = (
    ("what", "what"),
    ("n", "videos"),
    ("factor", "factor"),
    ("low", "from"),
    ("high", "to"),
)
PRETRAIN_FIGURES = (
    ("reconstructions.png", "Clips that it was not trained on, and their reconstructions."),
    ("epochs.png", "One clip after several epochs."),
)
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem;
  color: #1c2430; background: #fff }
h1 { font-size: 1.6rem } h2 { font-size: 1.15rem; margin-top: 2.2rem }
.wide { overflow-x: auto } table { border-collapse: collapse; font-size: .86rem }
th, td { padding: .25rem .6rem; text-align: left; border-bottom: 1px solid #e2e6ec }
th { font-weight: 600; white-space: nowrap } td.n { text-align: right;
  font-variant-numeric: tabular-nums } p.note { color: #5a6675; max-width: 50rem }
.good { color: #0b6b3a; font-weight: 600 } .bad { color: #a12c2c } svg, img { max-width: 100% }
"""


def report_path(data_folder: Path) -> Path:
    """Return where the report lies when nobody says otherwise."""
    return data_folder / "report.html"


def write_report_step(app: "App", *, quiet: bool, parent_id: int | None = None) -> Outcome:  # noqa: ARG001 - every stage of a night is called alike
    """Write the report to its usual place and record that as a run."""
    path = report_path(app.settings.data_folder)
    with record_run(app.catalog, "report", params={"path": path}, parent_id=parent_id) as run:
        run.expect(1)
        write_report(app.catalog, path, app.settings.data_folder)
        run.done()
    return run.outcome


def write_report(catalog: Catalog, path: Path, data_folder: Path | None = None) -> Path:
    """Write the report of the catalog as it is now to `path`, all or nothing; return `path`.

    data_folder: where runs have left figures; those of the newest pre-training are shown.
    """
    with catalog.read() as session:
        page = "".join(_page(session, data_folder))
    with atomic_file(path) as temporary:
        temporary.write_text(page, "utf-8")
    return path


def _page(session: Session, data_folder: Path | None) -> Iterable[str]:
    made = utc_now().strftime("%Y-%m-%d %H:%M UTC")
    yield "<!doctype html><html lang='en'><meta charset='utf-8'>"
    yield "<meta name='viewport' content='width=device-width'>"
    yield f"<title>viewcast report</title><style>{STYLE}</style>"
    yield f"<h1>viewcast report</h1><p class='note'>Made {text(made)}"
    yield f" by viewcast {text(code_version())}. Views are in thousands (k).</p>"
    yield section("Models beside the constants", LEADERBOARD, reports.leaderboard(session, 30))
    yield (
        "<p class='note'>A model is called better only where the paired 95 % bootstrap intervals of"
        " its MSE and its MAE exclude zero, beside always answering the train mean and beside"
        f" always answering the train median, on at least {reports.MIN_EVIDENCE} videos that it was"
        " not trained on; otherwise there is no evidence.</p>"
    )
    yield from _scatter(session)
    yield section("Widest gaps between prediction and count", GAPS, reports.gaps(session, 12))
    title = "Errors by week of posting, of the model that scored last"
    yield section(title, WEEKS, reports.weeks(session))
    yield from _explained(session)
    if data_folder is not None:
        yield from _figures(session, data_folder)
    yield section("Newest runs", RUNS, reports.runs(session, limit=25))
    yield section("Feature coverage", COVERAGE, reports.coverage(session))
    yield section("Failures", FAILURES, reports.failure_counts(session))
    counted = [{"table": name, "n": n} for name, n in reports.totals(session).items()]
    yield section("Rows", (("table", "table"), ("n", "n")), counted)
    yield "</html>\n"


def _scatter(session: Session) -> Iterable[str]:
    scored = (
        select(Prediction.run_id)
        .join(Run, Run.id == Prediction.run_id)
        .where(Run.kind == "score", Prediction.actual_k.is_not(None))
    )
    run_id = session.scalar(scored.order_by(Prediction.run_id.desc()).limit(1))
    yield "<h2>Predicted and shown views of the newest scoring run</h2>"
    if run_id is None:
        yield "<p class='note'>No scored video has a count yet.</p>"
        return
    points = session.execute(
        select(Prediction.actual_k, Prediction.predicted_k)
        .where(Prediction.run_id == run_id, Prediction.actual_k.is_not(None))
        .order_by(Prediction.video_id)
        .limit(MAX_POINTS)
    ).all()
    yield f"<p class='note'>Run {run_id}, {len(points)} videos. On the line the two are equal.</p>"
    pairs = [(actual_k, predicted_k) for actual_k, predicted_k in points if actual_k is not None]
    yield scatter(pairs, x_label="shown (thousand views)", y_label="predicted (thousand views)")


def _explained(session: Session) -> Iterable[str]:
    """What the newest `explain` found to drive a model's forecasts."""
    found = reports.explained(session)
    if found is None:
        return
    yield f"<h2>What drives the forecasts of {text(found.model)}</h2>"
    yield (
        "<p class='note'>How much worse they get when a block of inputs changes places between"
        " videos, and by what factor a hashtag or an hour of posting (UTC) moves them, each with"
        " its 95 % interval. It is about the model: it does not say what would cause views.</p>"
    )
    yield section("Blocks of inputs", IMPORTANCE, found.importances)
    yield section("Hashtags", EFFECTS, found.hashtags)
    yield section("Hours", EFFECTS, found.hours)


def _figures(session: Session, data_folder: Path) -> Iterable[str]:
    """Show the pictures that the newest finished pre-training has left (paper, Fig. 3 to 6)."""
    newest = select(Run.id).where(Run.kind == "pretrain", Run.status == "ok", Run.n_done > 0)
    run_id = session.scalar(newest.order_by(Run.id.desc()).limit(1))
    folder = data_folder / "runs" / str(run_id)
    pictures = [folder / name for name, _ in PRETRAIN_FIGURES if (folder / name).is_file()]
    if run_id is None or not pictures:
        return
    yield f"<h2>What the autoencoder of run {run_id} makes of clips</h2>"
    yield f"<p class='note'>With its loss curves in {text(folder / 'figures.html')}.</p>"
    words = dict(PRETRAIN_FIGURES)
    for picture in pictures:
        # In the page itself, which may be mailed.
        content = base64.b64encode(picture.read_bytes()).decode("ascii")
        yield f"<p class='note'>{text(words[picture.name])}</p>"
        yield f"<img src='data:image/png;base64,{content}' alt='{text(words[picture.name])}'>"
