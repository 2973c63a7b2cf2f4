"""The HTML pages: the report's content, and that a value never becomes markup."""

import re
from contextlib import suppress
from html.parser import HTMLParser

import pytest
from jinja2 import UndefinedError
from sqlalchemy import select

from catalog.facts import PredictionFacts
from catalog.record.lineage import store_predictions
from catalog.record.sightings import store_sightings
from catalog.schema.tables import Video
from catalog.web.pages import TEMPLATES, number_text, render, write_report
from catalog.work.runs import record_run
from tests.catalog.factories import SHA, add_model, add_videos, seen, video_facts

PLACES = (
    "caption", "hashtag", "author", "tiktok", "model", "slot", "code", "error", "failure",
    "effect", "block", "folder",
)  # fmt: skip
#: Those that the report shows; the others are in the catalog it is made of.
SHOWN = {"tiktok", "model", "slot", "code", "error", "effect", "block", "folder"}


class Seen(HTMLParser):
    """The names of a page's tags and attributes, and its texts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _value in attrs}

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def evil(place: str) -> str:
    """Return what a stranger may have written there."""
    return f"<script>{place}</script>&\"'{{{{7}}}}"


def test_an_empty_catalog_makes_a_page(catalog, tmp_path):
    path = write_report(catalog, tmp_path / "deep" / "report.html")
    page = path.read_text("utf-8")
    assert page.count("Nothing yet.") == 7
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
    said = {place: evil(place) for place in PLACES}
    facts = video_facts(
        said["tiktok"],
        caption=said["caption"],
        author_key=said["author"],
        hashtags=(said["hashtag"],),
    )
    with catalog.write() as session:
        store_sightings(session, [(facts, seen())], run_id=None, found_by=said["hashtag"])
        video_id = session.scalar(select(Video.id))
    model = add_model(catalog, name=said["model"])
    with record_run(catalog, "score", params={}, model_version_id=model, slot=said["slot"]) as run:
        with catalog.write() as session:
            predicted = PredictionFacts(video_id, 5.0, 10.0, None, None, None, SHA, "new")
            store_predictions(session, run.id, [predicted])
        run.metric("new", "mae_k", 5.0)
        run.done()
    with record_run(catalog, "explain", params={}, model_version_id=model) as run:
        run.note("a", "importance", {
            "block": said["block"], "present": 1.0, "log_mae": 0.1, "spearman": 0.1,
        })  # fmt: skip
        run.note("b", "hashtag_effect", {"what": said["effect"], "n": 1, "factor": 1.0})
        run.done()
    with record_run(catalog, "scrape", params={}) as run:
        run.failed(said["failure"], said["code"], said["failure"])
        run.done()
    with suppress(ZeroDivisionError), record_run(catalog, "split", params={}):
        raise ZeroDivisionError(said["error"])
    folder = tmp_path / said["folder"].replace("/", "")
    with record_run(catalog, "pretrain", params={}) as run:
        run.done()
    (folder / "runs" / str(run.id)).mkdir(parents=True)
    (folder / "runs" / str(run.id) / "epochs.png").write_bytes(b"\x89PNG")

    page = Seen(write_report(catalog, tmp_path / "report.html", folder).read_text("utf-8"))

    assert "script" not in page.tags
    assert not [name for name in page.attributes if not re.fullmatch("[a-z-]+|viewBox", name, re.I)]
    for place in SHOWN:
        assert said[place].replace("/", "") in "".join(page.texts).replace("/", ""), place


@pytest.mark.parametrize("template", TEMPLATES.list_templates())
def test_no_template_declares_a_value_safe(template):
    source, _path, _current = TEMPLATES.loader.get_source(TEMPLATES, template)
    assert not re.search(r"\|\s*safe|autoescape", source)
    assert TEMPLATES.autoescape is True


def test_a_page_of_figures_escapes_words_and_names():
    shown = render(
        "figures.html",
        title="A & B",
        curves=[("<N>", [(1, 2.0)])],
        curves_caption="less < more",
        pictures=[('it\'s "1".png', 'it\'s "it"')],
    )
    assert "<h1>A &amp; B</h1>" in shown
    assert "less &lt; more" in shown
    assert "&lt;N&gt;" in shown
    assert '<img src="it%27s%20%221%22.png" alt="it&#39;s &#34;it&#34;">' in shown


def test_a_value_that_a_page_lacks_is_an_error_and_no_gap():
    with pytest.raises(UndefinedError, match="title"):
        render("base.html")


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (None, 3, "–"), (0.0, 3, "0"), (0.12345, 3, "0.123"), (-12.345, 3, "-12.3"),
        (99.96, 3, "100"), (123.4, 3, "123"), (1234567.8, 3, "1,234,568"),
        (70.2026, 4, "70.2"), (999.94, 4, "999.9"), (6179, 4, "6,179"), (1e-9, 4, "1e-09"),
    ],
)  # fmt: skip
def test_a_number_keeps_its_digits(value, digits, text):
    assert number_text(value, digits) == text


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
