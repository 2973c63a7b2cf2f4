"""`viewcast predict` as it is typed: cards, one JSON document, exit codes, hostile words."""

import json
import os
import shutil
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from catalog.console import Silent
from catalog.errors import NotFound
from catalog.facts import FeatureSetFacts
from catalog.record.sightings import store_sightings
from catalog.schema.session import open_catalog
from cli import main
from features.one_video import Probe, probe
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
    comparable = document["comparable"]
    assert (comparable["n"], comparable["sharing"]) == (40, ["cat"])
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
    [median] = documents(viewcast(data, "predict", video, "--model", "median", "--json"))

    assert len(found["similar"]) == 5
    likeness = [one["similarity"] for one in found["similar"]]
    assert likeness == sorted(likeness, reverse=True)
    for one in found["similar"]:
        assert "cat" in one["caption"]
        assert one["views_k"] == pytest.approx(100 + float(one["caption"].split()[3]) / 10)
        assert one["tiktok_id"] in card.stdout
    assert found["views_k"] == without["views_k"]
    assert without["similar"] is median["similar"] is None
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
    (tmp_path / "folder").mkdir()
    names = ("folder", "page.mp4", evil.name)
    words = [*(str(tmp_path / name) for name in names), video, str(undecodable)]

    found = documents(viewcast(data, "predict", *words, "--model", "median", "--json"), 4)
    shown = viewcast(data, "predict", *words, "--model", "median")
    none = documents(viewcast(data, "predict", *words[:3], "--model", "median", "--json"), 1)

    assert [one["status"] for one in found] == ["failed", "failed", "failed", "ok", "failed"]
    assert "no video is in this folder" in found[0]["message"]
    assert "\x1b" not in shown.output
    assert shown.exit_code == 4
    assert all(one["status"] == "failed" for one in none)


def test_a_name_is_any_bytes_and_is_written_the_same_everywhere(data, video, tmp_path):
    name = os.fsdecode(b"caf\xe9 100%\n-=:.mp4")
    os.link(video, tmp_path / name)
    words = ("predict", str(tmp_path / name), video, "--model", "median", "--record")
    done = viewcast(data, *words, "--json")
    [odd, plain] = documents(done)
    shown = viewcast(data, *words)

    written = rf"{tmp_path}/caf\xe9 100%\n-=:.mp4"
    assert odd["file"] == written
    assert {**odd, "file": "", "seconds": {}} == {**plain, "file": "", "seconds": {}}
    assert f"{written}\n" in shown.stdout
    with closing(open_catalog(f"sqlite:///{data / 'catalog.db'}")) as catalog:
        run_id = json.loads(done.stdout)["run_id"]
        subjects = ask(catalog, "SELECT subject FROM event WHERE run_id = :id", id=run_id)
    assert (written,) in subjects


def test_a_folder_and_a_pattern_stand_for_the_videos_in_them(data, video, tmp_path):
    drafts = tmp_path / "drafts"
    (drafts / "old").mkdir(parents=True)
    for name in ("b.mp4", "a.MP4", "old/c.mp4"):
        os.link(video, drafts / name)
    (drafts / "notes.txt").write_text("no video")

    def asked(*words: str) -> dict:
        dry = viewcast(data, "predict", *words, "--model", "median", "--dry-run", "--json")
        return json.loads(dry.stdout)

    def names(*words: str) -> list[str]:
        return [str(Path(name).relative_to(tmp_path)) for name in asked(*words)["files"]]

    assert names(str(drafts)) == ["drafts/a.MP4", "drafts/b.mp4"]
    assert names(str(drafts), "--recursive")[2:] == ["drafts/old/c.mp4"]
    assert names(str(drafts / "*.mp4"), str(drafts)) == ["drafts/b.mp4", "drafts/a.MP4"]
    assert asked(str(drafts))["left_aside"] == [f"{drafts}/notes.txt", f"{drafts}/old/"]
    shown = viewcast(data, "predict", str(drafts), "--model", "median")
    assert shown.exit_code == 0
    assert "left aside in folders: 2" in shown.stdout


def test_a_file_that_is_cut_off_has_its_forecast_and_a_warning(data, tmp_path):
    cut = tmp_path / "cut.mp4"
    whole = make_media("fragmented", tmp_path)
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    words = ("predict", str(whole), str(cut), "--model", "median")
    [first, second] = documents(viewcast(data, *words, "--json"), 4)

    assert (first["status"], second["status"]) == ("ok", "ok")
    assert first["warnings"] == []
    assert [(one["code"], one["part"]) for one in second["warnings"]] == [("truncated", "pictures")]
    assert second["warnings"][0]["message"] in viewcast(data, *words).stdout


@pytest.fixture
def three(video, tmp_path) -> list[str]:
    """The same video under three names."""
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        os.link(video, tmp_path / name)
    return [str(tmp_path / name) for name in ("a.mp4", "b.mp4", "c.mp4")]


def fail_for(monkeypatch, name: str, error: BaseException) -> None:
    """Let the look at one file end in an error."""

    def look(path: Path) -> Probe:
        if path.name == name:
            raise error
        return probe(path)

    monkeypatch.setattr("features.one_video.probe", look)


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_what_is_done_is_printed_although_the_rest_is_broken_off(data, three, monkeypatch, form):
    fail_for(monkeypatch, "b.mp4", KeyboardInterrupt())
    result = viewcast(data, "predict", *three, "--model", "median", *form)

    assert result.exit_code == 130
    assert (three[0] in result.stdout, three[2] in result.stdout) == (True, False)
    if form:
        document = json.loads(result.stdout)
        assert (document["is_complete"], document["n_files"]) == (False, 1)


def test_an_error_that_nobody_expected_costs_its_file_and_is_loud(data, three, monkeypatch):
    fail_for(monkeypatch, "b.mp4", RuntimeError("what is this"))
    result = viewcast(data, "predict", *three, "--model", "median", "--json")
    found = documents(result, 1)

    assert [one["status"] for one in found] == ["ok", "failed", "ok"]
    assert "RuntimeError: what is this" in found[1]["message"]


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


def test_a_folder_of_plain_videos_goes_all_the_way_to_its_scores(data, video, tmp_path):
    """Import, extract, score: one broken, one twice, one of an odd name, one in a webm."""
    shutil.copytree(data, own := tmp_path / "data")
    (folder := tmp_path / "phone").mkdir()
    for name in (b"a.mp4", b"b.mp4"):
        shutil.copy(video, folder / os.fsdecode(name))
    shutil.copy(make_media("square", tmp_path), folder / os.fsdecode(b"caf\xe9\n.mp4"))
    shutil.copy(make_media("webm", tmp_path), folder)
    (folder / "broken.mp4").write_bytes(Path(video).read_bytes()[:-500])

    imported = viewcast(own, "import", str(folder), "--caption-from-name", "--json")
    extracted = viewcast(own, "extract", "clip", "--json")
    scored = viewcast(own, "score", "--model", "ridge", "--json")

    assert imported.exit_code == 4, imported.output
    assert json.loads(imported.stdout)["media_failed"] == {"media_double": 1, "bad_media": 1}
    assert (extracted.exit_code, json.loads(extracted.stdout)["n_done"]) == (0, 3)
    assert scored.exit_code == 0, scored.output
    asked = """
        SELECT json_extract(m.probe, '$.imported_as'), s.predicted_k > 0
        FROM video v JOIN media_file m ON m.video_id = v.id
        JOIN v_latest_score s ON s.video_id = v.id WHERE v.platform = 'local' ORDER BY 1
    """
    with closing(open_catalog(f"sqlite:///{own / 'catalog.db'}")) as catalog:
        found = ask(catalog, asked)
    assert found == [("a.mp4", 1), (r"caf\xe9\n.mp4", 1), ("webm.webm", 1)]
