import csv
import io
import re

import pytest

from catalog.web.pages import render
from model.errors import BadSetting
from model.experiment.table import (
    TABLE,
    Planned,
    Result,
    choose,
    confusion_of,
    csv_text,
    page_values,
    table_row,
    verdicts,
)

SWIN = next(planned for planned in TABLE if planned.name == "paper-swin")
QUARTERS = next(planned for planned in TABLE if planned.name == "paper-swin-quartile")
EVIL = Planned("evil", "<script>alert('x')</script>", "beyond", "evil", pair="<b>pair</b>")


def metrics(n: float = 100.0, **more: float) -> dict[str, float]:
    """What a run records, as far as the table reads it."""
    found = {"n": n, "mse_k2": 2e6, "mse_k2.low": 1e6, "mse_k2.high": 3e6, "mae_k": 900.0}
    found |= {f"confusion.{i}.{j}": float(4 * i + j) for i in range(4) for j in range(4)}
    found |= {"log_mae": 1.0, "spearman.low": 0.1}
    beside = {"mse_k2": (3e6, -2, -1), "mae_k": (800.0, 1, 2), "log_mae": (1.5, -1, 1)}
    for metric, (constant, low, high) in beside.items():
        found |= {f"{metric}.train_mean": constant, f"{metric}_diff.train_mean.low": low}
        found |= {f"{metric}_diff.train_mean.high": high}
    return {**found, **more}


def page(title, settings, results) -> str:
    """Render what the step writes, each cell's white space taken away."""
    shown = render("experiment.html", title=title, settings=settings, **page_values(results))
    return re.sub(r">\s+|\s+<", lambda found: found[0].strip(), shown)


def test_the_table_has_every_model_of_the_paper_and_the_constants_under_them():
    assert len({planned.name for planned in TABLE}) == len(TABLE)
    published = {p.name: p.published for p in TABLE if p.group == "paper" and p.published}
    assert set(published) == {"paper-swin", "paper-swin-scaled", "paper-cnn3d", "paper"}
    for network in ("paper-swin", "paper-cnn3d", "paper"):
        losses = {p.loss for p in TABLE if p.preset == network and p.objective is None}
        assert losses == {"mse", "mae"}
        assert any(p.preset == network and p.objective == "quartile" for p in TABLE)
    assert {p.name for p in TABLE if p.group == "constant"} == {"mean", "median", "geometric_mean"}


def test_rows_are_chosen_by_name_in_the_order_of_the_table():
    assert [planned.name for planned in choose(["ridge", "mean"])] == ["mean", "ridge"]
    assert choose([]) == TABLE
    with pytest.raises(BadSetting, match="'swin' is no row of the table; there are: mean"):
        choose(["swin"])


def test_the_words_are_those_of_the_intervals():
    assert verdicts(metrics(), "train_mean") == {
        "mse_k2": "better",
        "mae_k": "worse",
        "log_mae": "no evidence",
    }
    assert set(verdicts(metrics(n=29.0), "train_mean").values()) == {"no evidence"}
    assert verdicts(metrics(**{"spearman.low": -0.1}), "train_mean")["mse_k2"] == "no evidence"
    assert verdicts(metrics(), "train_mean", least_gain=0.2) == {
        "mse_k2": "better",
        "mae_k": "no evidence",
        "log_mae": "no evidence",
    }
    assert verdicts(metrics(), "train_median") == {}
    alike = {"mae_k_diff.train_mean.low": 0.0, "mae_k_diff.train_mean.high": 0.0}
    assert verdicts({"n": 100.0, **alike}, "train_mean") == {"mae_k": "the same"}


def test_a_row_of_the_csv_says_what_was_measured_and_leaves_the_rest_empty():
    results = [Result(SWIN, version=3, trained=True, metrics=metrics()), Result(EVIL, error="no")]
    first, second = csv.DictReader(io.StringIO(csv_text(results)))
    assert (first["row"], first["status"], first["n"]) == ("paper-swin", "trained", "100")
    errors = [first[name] for name in ("mse_k2", "mse_k2.low", "spearman")]
    assert errors == ["2000000.0", "1000000.0", ""]
    assert first["mse_k2_than_train_mean"] == "better"
    assert (first["published_mse_million_k2"], first["published_mae_k"]) == ("83.96", "4733")
    assert (second["status"], second["error"], second["mae_k"]) == ("failed", "no", "")


def test_the_page_shows_numbers_words_and_published_ones():
    shown = page("Table I", "split s", [Result(SWIN, version=1, metrics=metrics())])
    assert '<td class="n">2<small>1 to 3</small></td>' in shown
    assert '<div class="good">MSE: better</div>' in shown
    assert '<div class="bad">MAE: worse</div>' in shown
    assert "83.96" in shown
    assert "no stored prediction" in shown


def test_both_losses_of_a_network_are_drawn_side_by_side():
    pair = [planned for planned in TABLE if planned.pair == "CNN3D"]
    points = [(float(i), 1.0) for i in range(5_000)]
    results = [Result(planned, metrics=metrics(), predictions=points) for planned in pair]
    shown = page("t", "s", results)
    assert [svg.count("<circle") for svg in shown.split("<svg")[1:]] == [1667, 1667]
    assert shown.count("<h3>CNN3D</h3>") == 1


def test_losses_become_a_curve_for_each_part():
    losses = [("train", 1, 0.9), ("train", 2, 0.5), ("val", 1, 1.0), ("val", 2, 0.8)]
    shown = page("t", "s", [Result(SWIN, metrics=metrics(), losses=losses)])
    assert shown.count("<polyline") == 2


def test_a_classifier_shows_its_confusions_and_no_error_of_counts():
    result = Result(QUARTERS, metrics=metrics(quartile_accuracy=0.25, majority_accuracy=0.3))
    shown = page("t", "s", [result])
    assert "shown \\ predicted" in shown
    assert '<td class="n">15</td>' in shown
    assert "25.0%" in shown
    assert "30.0%" in shown
    assert "<small>1 to 3</small>" not in shown
    assert confusion_of(result.metrics)[3] == [12, 13, 14, 15]
    assert confusion_of({}) is None


def test_nothing_from_elsewhere_reaches_the_page_as_markup():
    results = [
        Result(EVIL, metrics=metrics(), predictions=[(1.0, 2.0)], losses=[("<i>", 1, 0.5)]),
        Result(EVIL, error="<img src=x onerror=y>"),
    ]
    shown = page("<u>title", "<s>settings", results)
    for markup in ("<script", "<b>", "<i>", "<img", "<u>", "<s>"):
        assert markup not in shown


def test_a_failed_row_is_named_and_costs_no_other():
    results = [Result(SWIN, error="NotFound: no clip"), Result(QUARTERS, metrics=metrics())]
    shown = page("t", "s", results)
    assert "Not trained: paper-swin" in shown
    assert "NotFound: no clip" in shown
    assert "shown \\ predicted" in shown
    assert table_row(results[0])["n"] is None
