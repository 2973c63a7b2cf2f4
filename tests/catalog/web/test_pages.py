"""The HTML report."""

import re
from html.parser import HTMLParser

from catalog.facts import PredictionFacts
from catalog.record.lineage import store_predictions
from catalog.record.sightings import store_sightings
from catalog.web.charts import scatter
from catalog.web.pages import write_report
from catalog.work.runs import record_run
from tests.catalog.factories import SHA, add_model, add_videos, seen, video_facts


def test_an_empty_catalog_makes_a_page(catalog, tmp_path):
    path = write_report(catalog, tmp_path / "deep" / "report.html")
    page = path.read_text("utf-8")
    assert page.count("Nothing yet.") == 6
    assert list(path.parent.iterdir()) == [path]


def test_the_page_shows_the_constants_and_no_more_than_the_evidence(catalog, tmp_path):
    ids = add_videos(catalog, 3)
    model = add_model(catalog)
    with record_run(catalog, "score", params={}, model_version_id=model) as run:
        with catalog.write() as session:
            facts = [PredictionFacts(i, 5.0 * i, 10.0 * i, i, 1, 1, SHA, "new") for i in ids]
            store_predictions(session, run.id, facts)
        for name, value in (
            ("n", 3), ("mse_k2", 5.0), ("mae_k", 2.0),
            ("mse_k2.train_mean", 6123.0), ("mae_k.train_mean", 3.0),
            ("mse_k2.train_median", 7456.0), ("mae_k.train_median", 2.5),
        ):  # fmt: skip
            run.metric("new", name, value)
    page = write_report(catalog, tmp_path / "report.html").read_text("utf-8")

    assert "6,123" in page
    assert "7,456" in page
    assert "no evidence" in page
    assert ">better<" not in page
    assert page.count("<circle") == 3


def test_the_page_needs_no_script_and_no_network(catalog, tmp_path):
    page = write_report(catalog, tmp_path / "report.html").read_text("utf-8")
    assert not re.search(r"<script|<link|<img|https?://|@import|url\(", page)


def test_what_strangers_wrote_stays_text(catalog, tmp_path):
    evil = "<script>alert(1)</script>"
    with record_run(catalog, "fetch", params={}) as run:
        run.failed(evil, "code_of_" + evil[:8], evil)
        run.done()
    with catalog.write() as session:
        store_sightings(
            session, [(video_facts("1", caption=evil), seen())], run_id=None, found_by=None
        )
    page = write_report(catalog, tmp_path / "report.html").read_text("utf-8")
    tags: list[str] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, _attrs: tags.append(tag)  # type: ignore[method-assign] # a listener
    parser.feed(page)
    assert "script" not in tags


def test_points_lie_on_equal_logarithmic_axes():
    svg = scatter([(1.0, 10.0), (100.0, 100.0), (0.0, 1.0)], x_label="a<b", y_label="y")
    assert svg.count("<circle") == 3
    assert "a&lt;b" in svg
    assert "nan" not in svg
    assert scatter([], x_label="x", y_label="y").count("<circle") == 0


def test_pictures_of_the_newest_pretraining_are_in_the_page(catalog, tmp_path):
    with record_run(catalog, "pretrain", params={}) as run:
        run.done()
    page = write_report(catalog, tmp_path / "report.html", tmp_path).read_text("utf-8")
    assert "makes of clips" not in page

    folder = tmp_path / "runs" / str(run.id)
    folder.mkdir(parents=True)
    (folder / "reconstructions.png").write_bytes(b"\x89PNG")
    page = write_report(catalog, tmp_path / "report.html", tmp_path).read_text("utf-8")
    assert f"autoencoder of run {run.id} makes of clips" in page
    assert "data:image/png;base64,iVBORw==" in page
