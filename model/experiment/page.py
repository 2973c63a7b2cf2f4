"""The table as files: table1.csv, and a page with the table, Fig. 2, curves and confusions."""

import csv
import html
import io
from collections.abc import Callable, Sequence

from model.evaluation.metrics import CONSTANT_NAMES
from model.experiment.table import Result, confusion_of, table_row, verdicts
from model.figures import Curve, draw_curves

#: Draws (shown, predicted) points on equal logarithmic axes, as inline SVG.
Scatter = Callable[[Sequence[tuple[float, float]]], str]

MOST_POINTS = 2_000  # more are one blot
QUARTERS = ("fewest", "second", "third", "most")
WORDS = {"mse_k2": "MSE", "mae_k": "MAE", "log_mae": "log-MAE"}
HEAD = (
    "row",
    "model",
    "n",
    "MSE (million k²)",
    "MAE (k)",
    "log-MAE",
    "Spearman",
    "quarters right",
    "balanced",
    "most frequent quarter",
    *(f"than {name.replace('_', ' ')}" for name in CONSTANT_NAMES),
    "published MSE",
    "published MAE",
    "published quarters",
)
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 100rem; padding: 0 1rem;
  color: #1c2430; background: #fff }
.wide { overflow-x: auto } table { border-collapse: collapse; font-size: .86rem }
th, td { padding: .25rem .6rem; text-align: left; border-bottom: 1px solid #e2e6ec;
  vertical-align: top } td.n { text-align: right; font-variant-numeric: tabular-nums }
small { color: #5a6675; display: block } p.note { color: #5a6675; max-width: 55rem }
.pair { display: flex; flex-wrap: wrap; gap: 2rem } figure { margin: 0 0 2rem }
.good { color: #0b6b3a; font-weight: 600 } .bad { color: #a12c2c } svg { max-width: 100% }
"""
NOTES = (
    "Every number is of the held-out videos, below it its 95 % bootstrap interval. A model is "
    "called better or worse than a constant only where the paired interval of the difference "
    "excludes zero; elsewhere there is no evidence.",
    "MSE and MAE of counts with a heavy tail hardly see skill. Spearman says whether the order is "
    "right, log-MAE by what factor a typical prediction is off.",
    "The published numbers are of the paper's own 100 videos. They cannot be compared with the "
    "columns before them; what each row can be compared with is the constants of the same column.",
    "Most frequent quarter: what always naming one quarter reaches on these videos.",
)


def csv_text(results: Sequence[Result]) -> str:
    """table1.csv: a line for each row, empty where a number is not defined."""
    rows = [table_row(result) for result in results]
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def page(title: str, settings: str, results: Sequence[Result], scatter: Scatter) -> str:
    """One self-contained HTML page of all results."""
    body = [
        f"<h1>{_text(title)}</h1><p class='note'>{_text(settings)}</p>",
        _table(results),
        *(f"<p class='note'>{_text(note)}</p>" for note in NOTES),
        *_failures(results),
        *_pairs(results, scatter),
        *_curves(results),
        *_confusions(results),
    ]
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width'>"
        f"<title>{_text(title)}</title><style>{STYLE}</style>{''.join(body)}</html>\n"
    )


def _table(results: Sequence[Result]) -> str:
    head = "".join(f"<th>{_text(word)}</th>" for word in HEAD)
    body = "".join(f"<tr>{_row(result)}</tr>" for result in results)
    grid = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f"<div class='wide'>{grid}</div>"


def _row(result: Result) -> str:
    planned, metrics = result.planned, result.metrics
    name = f"<td>{_text(planned.name)}</td><td>{_text(planned.label)}"
    if result.error is not None:
        return f"{name}</td><td class='bad' colspan='{len(HEAD) - 2}'>{_text(result.error)}</td>"
    cells = [
        f"{name}<small>version {result.version}, {result.status}</small></td>",
        f"<td class='n'>{int(metrics['n'])}</td>" if "n" in metrics else "<td>–</td>",
    ]
    if planned.group == "classifier":  # its counts are only the medians of the quarters it names
        cells.append("<td class='n'>–</td>" * 4)
    else:
        cells += [
            _measured(result, "mse_k2", scale=1e-6),
            _measured(result, "mae_k"),
            _measured(result, "log_mae"),
            _measured(result, "spearman"),
        ]
    for name in ("quartile_accuracy", "balanced_accuracy", "majority_accuracy"):
        value = metrics.get(name)
        cells.append(f"<td class='n'>{'–' if value is None else f'{value:.1%}'}</td>")
    for constant in CONSTANT_NAMES:
        said = {} if planned.group == "classifier" else verdicts(metrics, constant)
        cells.append(f"<td>{''.join(_verdict(m, word) for m, word in said.items()) or '–'}</td>")
    mse, mae = planned.published or (None, None)
    accuracy = planned.published_accuracy
    cells += [
        f"<td class='n'>{_number(mse)}</td><td class='n'>{_number(mae)}</td>",
        f"<td class='n'>{'–' if accuracy is None else f'{accuracy:.0%}'}</td>",
    ]
    return "".join(cells)


def _measured(result: Result, metric: str, scale: float = 1.0) -> str:
    names = (metric, f"{metric}.low", f"{metric}.high")
    value, low, high = (result.metrics.get(name) for name in names)
    if value is None:
        return "<td class='n'>–</td>"
    shown = _number(value * scale)
    if low is not None and high is not None:
        shown += f"<small>{_number(low * scale)} to {_number(high * scale)}</small>"
    return f"<td class='n'>{shown}</td>"


def _verdict(metric: str, word: str) -> str:
    tone = {"better": "good", "worse": "bad"}.get(word, "")
    return f"<div class='{tone}'>{_text(WORDS[metric])}: {_text(word)}</div>"


def _failures(results: Sequence[Result]) -> list[str]:
    failed = [result.planned.name for result in results if result.error is not None]
    if not failed:
        return []
    return [f"<p class='bad'>Not trained: {_text(', '.join(failed))}. The run may be repeated.</p>"]


def _pairs(results: Sequence[Result], scatter: Scatter) -> list[str]:
    """Predicted against shown views of one network under both losses (paper, Fig. 2)."""
    pairs: dict[str, list[Result]] = {}
    for result in results:
        if result.planned.pair is not None and result.error is None:
            pairs.setdefault(result.planned.pair, []).append(result)
    if not pairs:
        return []
    found = ["<h2>Predicted against shown views, by loss (the paper's Fig. 2)</h2>"]
    for network, of_network in pairs.items():
        drawn = [_scattered(result, scatter) for result in of_network]
        found.append(f"<h3>{_text(network)}</h3><div class='pair'>{''.join(drawn)}</div>")
    return found


def _scattered(result: Result, scatter: Scatter) -> str:
    label = _text(result.planned.label)
    if not result.predictions:
        return f"<figure><figcaption>{label}: no stored prediction.</figcaption></figure>"
    # Every k-th, so that a large part is not shown by its oldest videos alone.
    step = -(-len(result.predictions) // MOST_POINTS)
    markup = scatter(result.predictions[::step])
    caption = f"<figcaption>{label}. On the line the two are equal.</figcaption>"
    return f"<figure>{markup}{caption}</figure>"


def _curves(results: Sequence[Result]) -> list[str]:
    found = []
    for result in results:
        by_part: dict[str, list[tuple[int, float]]] = {}
        for part, epoch, loss in result.losses:
            by_part.setdefault(part, []).append((epoch, loss))
        if by_part:
            curves = [Curve(part, points) for part, points in sorted(by_part.items())]
            caption = f"<figcaption>{_text(result.planned.label)}</figcaption>"
            found.append(f"<figure>{draw_curves(curves, y_label='loss')}{caption}</figure>")
    return ["<h2>Loss of each epoch</h2>", *found] if found else []


def _confusions(results: Sequence[Result]) -> list[str]:
    found = []
    for result in results:
        counts = confusion_of(result.metrics)
        if result.planned.group != "classifier" or counts is None:
            continue
        head = "".join(f"<th>{_text(quarter)}</th>" for quarter in QUARTERS)
        body = "".join(
            f"<tr><th>{_text(quarter)}</th>"
            + "".join(f"<td class='n'>{count}</td>" for count in line)
            + "</tr>"
            for quarter, line in zip(QUARTERS, counts, strict=True)
        )
        found.append(
            f"<figure><table><tr><th>shown \\ predicted</th>{head}</tr>{body}</table>"
            f"<figcaption>{_text(result.planned.label)}</figcaption></figure>"
        )
    return ["<h2>Quarters: shown and predicted</h2>", *found] if found else []


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.4g}"


def _text(value: object) -> str:
    return html.escape(str(value), quote=True)
