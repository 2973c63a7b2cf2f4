"""What `evaluate` found, a column for each collection and split, and how it is laid out."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final

from catalog.verdict import Verdict
from model.evaluation.comparison import Comparison

MEASURE: Final = "log_mae"
NOTE: Final = (
    "Spearman / log-MAE of the held-out videos; below it the difference in log-MAE to the column's "
    "best rival with its paired 95 % interval, what that allows to say, and CPU seconds of training"
)


@dataclass(frozen=True)
class Cell:
    """What became of one model in one column.

    version: of the model in the collection's catalog. cpu_s: of its training; None: not recorded.
    difference, …, verdict: log-MAE of this model minus that of the column's best rival; None for
    the rivals themselves. error: why there is nothing.
    """

    model: str
    version: int | None = None
    cpu_s: float | None = None
    spearman: float | None = None
    spearman_low: float | None = None
    spearman_high: float | None = None
    log_mae: float | None = None
    log_mae_low: float | None = None
    log_mae_high: float | None = None
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    verdict: Verdict | None = None
    error: str | None = None


@dataclass(frozen=True)
class Column:
    """One collection under one split: its held-out videos and every model's cell.

    rival: the rival with the smallest log-MAE. as_of: the rule asked for; None: the models' own,
    which is what was known before a post. error: why the whole column is empty.
    """

    collection: str
    split: str
    as_of: str | None = None
    n: int | None = None
    n_train: int | None = None
    rival: str | None = None
    cells: Mapping[str, Cell] = field(default_factory=dict)
    error: str | None = None

    @property
    def title(self) -> str:
        """The column's head, in lines."""
        lines = [self.collection, self.split + (f", as of {self.as_of}" if self.as_of else "")]
        lines += [] if self.n is None else [f"n {self.n:,}"]
        lines += [] if self.rival is None else [f"rival {self.rival}"]
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """All of it, its cells as a list."""
        return {**asdict(self), "cells": [asdict(cell) for cell in self.cells.values()]}


def cells_of(
    comparison: Comparison, names: Mapping[str, str], rivals: Sequence[str]
) -> tuple[dict[str, Cell], str | None]:
    """Cells of the models that were compared, and the best rival.

    names: of each model by what the comparison calls it; those before the rivals come first there,
    so that each difference is of a model from a rival.
    """
    called = {model: name for name, model in names.items()}
    measured = {model: comparison.metrics[name] for model, name in called.items()}
    there = [model for model in rivals if model in measured]
    rival = min(there, key=lambda model: measured[model][MEASURE]) if there else None
    differences = {
        d.first: d
        for d in comparison.differences
        if d.metric == MEASURE and rival is not None and d.second == called[rival]
    }
    cells = {}
    for model, values in measured.items():
        cell: dict[str, Any] = {
            f"{metric}{end.replace('.', '_')}": values.get(f"{metric}{end}")
            for metric in ("spearman", MEASURE)
            for end in ("", ".low", ".high")
        }
        if model not in rivals and (d := differences.get(called[model])) is not None:
            cell |= {
                "difference": d.value,
                "difference_low": d.low,
                "difference_high": d.high,
                "verdict": d.verdict,
            }
        cells[model] = Cell(model, **cell)
    return cells, rival


def models_of(columns: Sequence[Column]) -> list[str]:
    """The models of all columns, in the order in which they come."""
    return list(dict.fromkeys(model for column in columns for model in column.cells))


def table_of(columns: Sequence[Column]) -> tuple[list[str], list[list[str]]]:
    """The one table: its heads, and a row for each model with a cell of a few lines a column.

    A column of which nothing came is not in it.
    """
    there = [column for column in columns if column.cells]
    heads = ["model", *(column.title for column in there)]
    rows = [
        [model, *(_shown(column.cells.get(model)) for column in there)]
        for model in models_of(there)
    ]
    return heads, rows


def failures(columns: Sequence[Column]) -> list[str]:
    """A line for each collection, column or cell that failed."""
    splits: dict[tuple[str, str], list[str]] = {}
    lines = []
    for column in columns:
        if column.error is not None:
            splits.setdefault((column.collection, column.error), []).append(column.split)
        for cell in column.cells.values():
            where = f"{column.collection}, {column.split}, {cell.model}"
            lines += [f"{where}: {cell.error}"] if cell.error is not None else []
    whole = [f"{name}, {' and '.join(there)}: {error}" for (name, error), there in splits.items()]
    return whole + lines


def _shown(cell: Cell | None) -> str:
    if cell is None:
        return ""
    if cell.error is not None:
        return "failed"
    lines = [f"{_number(cell.spearman)} / {_number(cell.log_mae)}"]
    if cell.difference is not None:
        ends = f"[{_signed(cell.difference_low)}, {_signed(cell.difference_high)}]"
        lines += [f"{_signed(cell.difference)} {ends}", cell.verdict or ""]
    lines += [] if cell.cpu_s is None else [f"{cell.cpu_s:,.1f} s"]
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.3f}"


def csv_text(columns: Sequence[Column]) -> str:
    """Every number, a line for each collection, split and model; empty where it is not defined."""
    out = io.StringIO()
    head = ["collection", "split", "as_of", "n", "n_train", "rival"]
    names = [*head, *(one.name for one in fields(Cell))]
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    for column in columns:
        whole = {name: getattr(column, name) for name in head}
        cells = column.cells.values() or [Cell("", error=column.error)]
        writer.writerows({**whole, **asdict(cell)} for cell in cells)
    return out.getvalue()


def markdown_text(columns: Sequence[Column]) -> str:
    """The one table in Markdown, and what failed below it."""
    head, rows = table_of(columns)
    body = [head, ["---"] * len(head), *rows]
    lines = ["| " + " | ".join(cell.replace("\n", "<br>") for cell in row) + " |" for row in body]
    return "\n".join([*lines, "", NOTE + ".", *(f"* {line}" for line in failures(columns)), ""])
