"""`viewcast predict` as it is typed: cards, one JSON document, exit codes, hostile words."""

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from catalog.console import Silent
from catalog.errors import NotFound
from catalog.facts import FeatureSetFacts
from catalog.record.sightings import store_sightings
from catalog.schema.session import open_catalog
from cli import main
from features.store import FeatureStore
from model.split import SplitConfig
from model.steps.split import create_split
from model.steps.train import TrainRequest, train
from tests.catalog.factories import T0, seen, video_facts
from tests.features.media import make_media
from tests.fresh_catalog import ask, fresh_catalog

pytestmark = pytest.mark.ffmpeg

TAGS = ("cat", "dog")


def viewcast(data: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["--data", str(data), *words])


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A catalog of what 80 posts say, where cats have ten times the views, and models of it."""
    folder = tmp_path_factory.mktemp("data")
    sightings = []
    for i in range(80):
        tag = TAGS[i % 2]
        facts = video_facts(
            f"{7_300_000_000_000_000_000 + i}",
            caption=f"my {tag} number {i} #{tag}",
            hashtags=(tag,),
            author_key=f"author-{i}",
            posted_at=T0.replace(month=1 + i // 20, day=1 + i % 20),
        )
        sightings.append((facts, seen((100.0 if tag == "cat" else 10.0) + i / 10)))
    with fresh_catalog(folder) as catalog:
        with catalog.write() as session:
            store_sightings(session, sightings, run_id=None, found_by=None)
        create_split(catalog, SplitConfig())
        for preset in ("median", "ridge", "modern"):
            train(
                catalog,
                TrainRequest(preset),
                no_feature_set,
                store=FeatureStore(str(folder / "features")),
                data=folder,
                progress=Silent(),
            )
    return folder


def no_feature_set(kind: str) -> FeatureSetFacts:
    raise NotFound(f"no {kind} feature in this catalog")


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> str:
    return str(make_media("with_sound", tmp_path_factory.mktemp("media")))


def documents(result: Result, exit_code: int = 0) -> list[dict]:
    assert result.exit_code == exit_code, result.output
    return json.loads(result.stdout)["files"]


def test_a_card_is_for_people_and_a_document_for_programs(data, video):
    card = viewcast(data, "predict", video, "--model", "ridge", "--caption", "my cat #cat")
    [document] = documents(
        viewcast(data, "predict", video, "--model", "ridge", "--caption", "my cat #cat", "--json")
    )

    assert card.exit_code == 0, card.output
    assert "with #cat" in card.stdout
    assert document["comparable"] == {"n": 40, "sharing": ["cat"]}
    assert f"{document['views_k']:.1f}K".replace(".0K", "K") in card.stdout
    assert document["inputs"]["hashtags"] == ["cat"]
    assert document["inputs"]["duration_s"] == pytest.approx(2, abs=0.1)
    assert document["model_record"]["part"] == "holdout"


def test_what_the_post_says_moves_the_forecast(data, video):
    def forecast(*words: str) -> dict:
        return documents(viewcast(data, "predict", video, "--model", "ridge", "--json", *words))[0]

    cat = forecast("--caption", "my cat #cat", "--posted-at", "2026-04-20T12:00")
    dog = forecast("--caption", "my dog", "--hashtags", "#dog", "--posted-at", "2026-04-20")

    assert cat["views_k"] > 2 * dog["views_k"]
    assert cat["inputs"]["posted_at"] == "2026-04-20T12:00:00+00:00"
    assert dog["inputs"]["hashtags"] == ["dog"]
    assert max(cat["moved_by"].values()) > 1


def test_the_most_similar_videos_are_shown_with_their_counts(data, video):
    words = ("predict", video, "--model", "modern", "--caption", "my cat number 12 #cat")
    [found] = documents(viewcast(data, *words, "--json"))
    card = viewcast(data, *words)
    [without] = documents(viewcast(data, *words, "--no-similar", "--json"))
    [ridge] = documents(viewcast(data, "predict", video, "--model", "ridge", "--json"))

    assert len(found["similar"]) == 5
    likeness = [one["similarity"] for one in found["similar"]]
    assert likeness == sorted(likeness, reverse=True)
    for one in found["similar"]:
        assert "cat" in one["caption"]
        assert one["views_k"] == pytest.approx(100 + float(one["caption"].split()[3]) / 10)
        assert one["tiktok_id"] in card.stdout
    assert found["views_k"] == without["views_k"]
    assert without["similar"] is ridge["similar"] is None
    assert "caption" in found["moved_by"]
    assert found["low_k"] is None or found["low_k"] <= found["views_k"] <= found["high_k"]


def test_a_dry_run_forecasts_and_records_nothing(data, video):
    before = (data / "catalog.db").read_bytes()
    words = ("predict", video, "--model", "median", "--record", "--dry-run", "--json")
    said = json.loads(viewcast(data, *words).stdout)
    assert (said["dry_run"], said["files"], said["record"]) == (True, [video], True)
    assert (data / "catalog.db").read_bytes() == before


def test_nothing_is_written_unless_asked(data, video):
    before = (data / "catalog.db").read_bytes()
    assert viewcast(data, "predict", video, "--model", "median").exit_code == 0
    assert (data / "catalog.db").read_bytes() == before


def test_a_recorded_forecast_names_its_run(data, video):
    result = viewcast(data, "predict", video, "--model", "median", "--record", "--json")
    run_id = json.loads(result.stdout)["run_id"]
    catalog = open_catalog(f"sqlite:///{data / 'catalog.db'}")
    kinds = ask(catalog, "SELECT kind, status, n_done FROM run WHERE id = :id", id=run_id)
    catalog.close()
    assert kinds == [("predict", "ok", 1)]


def test_bad_files_cost_themselves(data, video, tmp_path):
    (tmp_path / "page.mp4").write_text("<html>no</html>")
    evil = tmp_path / "a\x1b[31m\nb.mp4"
    evil.write_bytes(b"")
    undecodable = tmp_path / os.fsdecode(b"\xff\xfe.mp4")
    undecodable.write_bytes(b"x")
    words = [str(tmp_path), str(tmp_path / "page.mp4"), str(evil), video, str(undecodable)]

    found = documents(viewcast(data, "predict", *words, "--model", "median", "--json"), 4)
    shown = viewcast(data, "predict", *words, "--model", "median")
    none = documents(viewcast(data, "predict", *words[:3], "--model", "median", "--json"), 1)

    assert [one["status"] for one in found] == ["failed", "failed", "failed", "ok", "failed"]
    assert "is a folder" in found[0]["message"]
    assert "\x1b" not in shown.output
    assert shown.exit_code == 4
    assert all(one["status"] == "failed" for one in none)


@pytest.mark.parametrize(
    ("words", "exit_code", "said"),
    [
        ((), 2, "FILE"),
        (("x.mp4", "--posted-at", "yesterday"), 2, "is no time"),
        (("x.mp4", "--posted-at", "0001-01-01T00:00+14:00"), 2, "is no time"),
        (("x.mp4", "--model", "nobody"), 1, "no model nobody"),
        (("x.mp4", "--model", "median:x"), 2, "NAME:VERSION"),
    ],
)
def test_words_that_make_no_sense_are_refused(data, words, exit_code, said):
    result = viewcast(data, "predict", *words)
    assert result.exit_code == exit_code
    assert said in result.output
    assert "Traceback" not in result.output


def test_a_caption_that_would_steer_a_terminal_does_not(data, video):
    caption = "\x1b]0;owned\x07 [bold]x[/bold] \u202e <script>"
    result = viewcast(data, "predict", video, "--model", "median", "--caption", caption)
    assert result.exit_code == 0
    assert not any(mark in result.output for mark in "\x1b\x07\u202e")
    assert "[bold]x[/bold]" in result.output
