"""The one table of several collections."""

import csv
import io

import numpy as np

from model.evaluation.comparison import compare_models
from model.experiment.columns import (
    Cell,
    Column,
    cells_of,
    csv_text,
    failures,
    markdown_text,
    models_of,
    table_of,
)
from model.solved.constants import Constants

N = 200
RIVALS = ("author_mean", "median")


def compared():
    """A model that knows much, a rival that knows a little, and one that knows nothing."""
    rng = np.random.default_rng(0)
    actual = np.exp(rng.normal(3, 1, N))
    near, far = (actual * np.exp(rng.normal(0, s, N)) for s in (0.2, 0.7))
    said = {"modern:1": near, "author_mean:1": far, "median:3": np.full(N, np.median(actual))}
    comparison = compare_models(actual, said, constants=Constants.fit(actual), part="holdout")
    names = {"modern:1": "modern", "author_mean:1": "author_mean", "median:3": "median"}
    return comparison, names


def test_a_model_is_set_beside_the_best_rival() -> None:
    comparison, names = compared()
    cells, rival = cells_of(comparison, names, RIVALS)

    assert rival == "author_mean"
    modern = cells["modern"]
    (same,) = [
        d
        for d in comparison.differences
        if (d.metric, d.first, d.second) == ("log_mae", "modern:1", "author_mean:1")
    ]
    assert (modern.difference, modern.verdict) == (same.value, same.verdict)
    assert (modern.difference_low, modern.difference_high) == (same.low, same.high)
    assert modern.verdict == "better"
    assert modern.log_mae == comparison.metrics["modern:1"]["log_mae"]
    assert (cells["median"].spearman, cells["median"].difference) == (None, None)


def test_without_a_rival_nothing_is_said() -> None:
    comparison, names = compared()
    cells, rival = cells_of(comparison, names, ())
    assert rival is None
    assert {cell.verdict for cell in cells.values()} == {None}


def columns() -> list[Column]:
    comparison, names = compared()
    cells, rival = cells_of(comparison, names, RIVALS)
    lost = Cell("boosted", error="no memory")
    return [
        Column("a", "time", "crawl", 200, 700, rival, {**cells, "boosted": lost}),
        Column("b", "author", error="no such file"),
    ]


def test_every_column_that_has_something_is_in_the_one_table() -> None:
    found = columns()
    heads, rows = table_of(found)

    assert models_of(found) == ["modern", "author_mean", "median", "boosted"]
    assert [row[0] for row in rows] == models_of(found)
    assert "better" in rows[0][1]
    assert rows[3][1:] == ["failed"]
    assert [head.splitlines() for head in heads] == [
        ["model"],
        ["a", "time, as of crawl", "n 200", "rival author_mean"],
    ]


def test_what_fails_whole_is_said_once() -> None:
    found = [*columns(), Column("b", "time", error="no such file")]
    assert failures(found) == [
        "b, author and time: no such file",
        "a, time, boosted: no memory",
    ]


def test_files_have_what_the_table_has() -> None:
    found = columns()
    rows = list(csv.DictReader(io.StringIO(csv_text(found))))

    assert [row["model"] for row in rows] == [*models_of(found), ""]
    assert float(rows[0]["log_mae"]) == found[0].cells["modern"].log_mae
    assert (rows[2]["spearman"], rows[4]["error"]) == ("", "no such file")
    marked = markdown_text(found).splitlines()
    assert marked[0] == "| model | a<br>time, as of crawl<br>n 200<br>rival author_mean |"
    assert {line.count("|") for line in marked[:6]} == {3}
    assert "* b, author: no such file" in marked
