"""The whole way of a row with nothing faked: a site, Chromium, ffmpeg, Whisper, two networks."""

import tempfile
from pathlib import Path

import pytest

from catalog.read.reports import query
from catalog.schema.schema_check import newest_views
from catalog.schema.session import open_catalog
from scraper.items import DEFAULT_TOPICS
from scraper.replica.content import TOPICS, ReplicaConfig
from scraper.replica.server import Replica
from scraper.steps.scrape import add_hashtags
from tests.fresh_catalog import fresh_catalog
from tests.programs import ROOT, SETTINGS, ask, count, run

pytestmark = [
    pytest.mark.chromium,
    pytest.mark.ffmpeg,
    pytest.mark.ocr,
    pytest.mark.text,
    pytest.mark.whisper,
]

N = 12  # one video of each topic
VIEWS = sorted(newest_views(ROOT / "migrations" / "views"))
STAGES = (
    "scrape",
    "refresh",
    "fetch",
    "extract files",
    "pretrain",
    "extract visual",
    "extract text",
    "ages",
    "split create",
    "train modern",
    "score",
    "judge",
    "report",
    "alerts",
)
# For nothing failed, nothing was imported, and every video was too old to be forecast.
EMPTY = (
    "v_failure",
    "v_rejected_row",
    "v_forecast_ledger",
    "v_ledger_by_night",
    "v_ledger_by_week",
)
# What a night adds to even when there is nothing to do.
JOURNAL = ("run", "run_metric", "event")


@pytest.fixture(scope="module")
def profiles():
    """The folder that programs take for temporary files: Chromium's profiles are below it.

    Not pytest's own: a socket's path below that would be too long.
    """
    with tempfile.TemporaryDirectory(prefix="vc") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def night(tmp_path_factory, profiles):
    """A data folder after its first night, and what the night said of itself."""
    folder = tmp_path_factory.mktemp("night")
    with (
        pytest.MonkeyPatch.context() as patch,
        Replica(ReplicaConfig(videos_per_tag=1), folder / "replica-media") as replica,
    ):
        patch.setenv("TMPDIR", str(profiles))
        (folder / SETTINGS).write_text(
            f'[site]\nbase_url = "{replica.url}"\n'
            "[clip]\nevery_frames = 24\nmax_frames = 4\nheight_px = 16\nwidth_px = 9\n"
            "[pretrain]\nepochs = 1\nhidden = 8\n"
            "[extract]\nworkers = 2\nbatch = 3\n"
            'kinds = ["clip", "audio", "opening", "thumbnail", "ocr"]\n'
            "[audio]\nmax_s = 5\n"
        )
        with fresh_catalog(folder) as catalog:
            add_hashtags(catalog, {topic: tags[:1] for topic, tags in DEFAULT_TOPICS.items()})
        yield folder, run(folder, "nightly")


def counts(folder):
    """How many rows each table has, but for the journal's."""
    tables = ask(folder, "SELECT name FROM sqlite_master WHERE type = 'table'")
    return {name: count(folder, name) for (name,) in tables if name not in JOURNAL}


def media_files(folder):
    return {path: path.stat().st_mtime_ns for path in (folder / "media").rglob("*.mp4")}


def test_every_video_of_every_topic_goes_the_whole_way(night):
    folder, said = night

    assert [(stage["stage"], stage["status"]) for stage in said["stages"]] == [
        (stage, "ok") for stage in STAGES
    ]
    assert count(folder, "video") == N == len(TOPICS)
    assert count(folder, "view_observation", "views_k > 0") == N
    assert count(folder, "media_file", "status = 'ok'") == len(media_files(folder)) == N
    covered = ask(
        folder,
        "SELECT s.kind, count(*) FROM feature f JOIN feature_set s ON s.id = f.feature_set_id"
        " WHERE f.status = 'done' OR f.error_code = 'no_audio' GROUP BY s.kind",
    )
    kinds = ("clip", "audio", "opening", "thumbnail", "ocr", "visual", "text")
    assert dict(covered) == dict.fromkeys(kinds, N)
    assert count(folder, "prediction", "predicted_k >= 0 AND actual_k > 0") == N
    assert dict(ask(folder, "SELECT part, count(*) FROM prediction GROUP BY part")) == {
        "train": 10,  # and 2 of val, which `modern` has learned from too
        "holdout": 2,
    }


def test_somebody_was_heard(night):
    folder, _said = night

    texts = ask(
        folder,
        "SELECT json_extract(detail, '$.text') FROM feature JOIN feature_set s"
        " ON s.id = feature_set_id WHERE s.kind = 'audio' AND status = 'done'",
    )

    assert any(len((text or "").split()) > 3 for (text,) in texts)


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_answers(night, view):
    folder, _said = night
    catalog = open_catalog(f"sqlite:///{folder / 'catalog.db'}")
    with query(catalog, f"SELECT * FROM {view}") as answer:
        rows = list(answer.rows)
    catalog.close()

    assert answer.columns
    assert bool(rows) is (view not in EMPTY), rows


def test_the_sql_command_shows_the_leaderboard(night):
    folder, _said = night

    answer = run(folder, "sql", "SELECT part, n FROM v_run_leaderboard WHERE kind = 'score'")

    assert {row["part"]: row["n"] for row in answer["rows"]} == {"train": 10, "holdout": 2}


def test_the_views_are_twenty_four():
    assert len(VIEWS) == 24


def test_the_report_is_there_and_shows_the_model(night):
    folder, _said = night

    assert "modern" in (folder / "report.html").read_text("utf-8")


def test_a_second_night_does_nothing_twice(night):
    folder, _said = night
    before, files = counts(folder), media_files(folder)

    again = run(folder, "nightly")

    assert {stage["status"] for stage in again["stages"]} == {"ok"}
    assert {stage["stage"]: stage["n_done"] for stage in again["stages"]} == {
        **dict.fromkeys(STAGES, 0),
        "report": 1,
    }
    assert counts(folder) == before
    assert media_files(folder) == files


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="there is no /proc here")
def test_no_browser_is_left(night, profiles):
    left = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:  # it has ended meanwhile, or is not ours
            continue
        if str(profiles).encode() in words:
            left.append((process.name, words[:80]))

    assert left == []
    assert not list(profiles.rglob("p*/u"))
