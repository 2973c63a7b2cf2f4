"""kill -9 half-way, then the same command again: nothing lost, nothing twice."""

import hashlib
import shlex

import pytest

from catalog.console import Silent
from catalog.work.claims import MediaDone, claim_media, enrol_media, finish_media
from features.store import FeatureStore
from model.split import SplitConfig
from model.steps.split import create_split
from model.steps.train import TrainRequest, train
from tests.catalog.factories import add_videos
from tests.features.media import SOURCES, ffmpeg
from tests.fresh_catalog import fresh_catalog
from tests.programs import KILL_TIMES, SETTINGS, ask, count, run, start, wait_until
from tests.synthetic import add_feature_set, add_features

N_CLIPS = 36
N_SCORES = 1_500


def kill_when(folder, is_so, *arguments):
    """Start a command, kill it -9 as soon as something is so, and wait until it is gone."""
    program = start(folder, *arguments)
    try:
        wait_until(is_so, program)
    finally:
        program.kill()
        program.wait()


def instants(first, last):
    """After how many rows to kill: once after `first`, more often up to `last`."""
    return [first + number * (last - first) // KILL_TIMES for number in range(KILL_TIMES)]


# --- extract


@pytest.fixture
def many_files(tmp_path):
    """A catalog of 36 videos whose files are there; one file and one row make a batch."""
    media = tmp_path / "media"
    media.mkdir()
    source = SOURCES["moving"].replace("144x256", "360x640")
    encoded = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 30"
    pieces = "-f segment -segment_time 1 -reset_timestamps 1"
    options = shlex.split(f"-t {N_CLIPS} {encoded} {pieces}")
    ffmpeg("-f", "lavfi", "-i", source, *options, str(media / "%02d.mp4"))
    files = sorted(media.glob("*.mp4"))
    assert len(files) == N_CLIPS
    with fresh_catalog(tmp_path) as catalog:
        add_videos(catalog, N_CLIPS)
        with catalog.write() as session:
            enrol_media(session)
        claims = claim_media(catalog, owner="test", limit=N_CLIPS)
        with catalog.write() as session:
            for claim, file in zip(claims, files, strict=True):
                sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
                done = MediaDone(f"media/{file.name}", sha256, file.stat().st_size, {})
                assert finish_media(session, claim, "test", done)
    (tmp_path / SETTINGS).write_text(
        "[extract]\nworkers = 1\nbatch = 1\n"
        "[clip]\nevery_frames = 5\nmax_frames = 6\nheight_px = 64\nwidth_px = 36\n"
    )
    return tmp_path


@pytest.mark.ffmpeg
def test_a_killed_extract_goes_on_and_every_row_is_done_once(many_files):
    folder = many_files
    done_rows = (
        "SELECT video_id, run_id, attempts, uri, finished_at FROM feature WHERE uri NOT NULL"
    )
    before: list[tuple] = []
    for n_done in instants(5, N_CLIPS - 8):
        kill_when(
            folder,
            lambda n=n_done: count(folder, "feature", "status = 'done'") >= n,
            "extract",
            "clip",
        )
        so_far, before = before, ask(folder, done_rows)
        assert set(so_far) <= set(before)
        assert n_done <= len(before) < N_CLIPS
        assert ask(folder, "SELECT status FROM run ORDER BY id DESC LIMIT 1") == [("running",)]

    second = run(folder, "extract", "clip")
    third = run(folder, "extract", "clip")

    assert (second["status"], second["n_done"]) == ("ok", N_CLIPS - len(before))
    assert (third["status"], third["n_total"]) == ("ok", 0)
    ended = ask(folder, "SELECT status FROM run ORDER BY id")
    assert ended == [("lost",)] * KILL_TIMES + [("ok",), ("ok",)]
    after = ask(folder, done_rows)
    assert len(after) == N_CLIPS
    assert set(before) <= set(after)  # whatever was done is exactly as it was
    assert {attempts for _, _, attempts, _, _ in after} <= set(range(1, KILL_TIMES + 2))
    assert count(folder, "feature", "status <> 'done' OR lease_owner IS NOT NULL") == 0
    store = FeatureStore(str(folder / "features"))
    for uri, row, sha256 in ask(folder, "SELECT uri, row, sha256 FROM feature"):
        assert store.read(uri, row, sha256=sha256)["frames"].shape == (3, 6, 64, 36)


# --- score

MODEL = ("--model", "fused")


@pytest.fixture
def many_rows(tmp_path):
    """A catalog of 1,500 videos that share 16 rows of features, and a model trained on 24."""
    store = FeatureStore(str(tmp_path / "features"))
    with fresh_catalog(tmp_path) as catalog:
        sets = {kind: add_feature_set(catalog, kind) for kind in ("visual", "audio")}
        first = add_videos(catalog, 24)
        for feature_set in sets.values():
            add_features(catalog, store, feature_set, first)
        create_split(catalog, SplitConfig())
        train(
            catalog,
            TrainRequest("fused", fit={"epochs": 1}),
            sets.__getitem__,
            store=store,
            data=tmp_path,
            progress=Silent(),
        )
        more = add_videos(catalog, N_SCORES - 24, first=25)
        for feature_set in sets.values():
            add_features(catalog, store, feature_set, more, n_distinct=16)
    return tmp_path


def test_a_killed_score_goes_on_as_the_same_run_and_measures_all_its_rows(many_rows):
    folder = many_rows
    before: list[tuple] = []
    for n_done in instants(300, N_SCORES - 600):
        kill_when(folder, lambda n=n_done: count(folder, "prediction") >= n, "score", *MODEL)
        so_far, before = (
            before,
            ask(folder, "SELECT run_id, video_id, predicted_k FROM prediction"),
        )
        assert set(so_far) <= set(before)
        assert n_done <= len(before) < N_SCORES

    last = run(folder, "score", *MODEL)

    assert (last["status"], last["n_done"], last["n_total"]) == ("ok", N_SCORES, N_SCORES)
    assert ask(folder, "SELECT id, status FROM run WHERE kind = 'score'") == [
        (last["run_id"], "ok")
    ]
    after = ask(folder, "SELECT run_id, video_id, predicted_k FROM prediction")
    assert len({video_id for _, video_id, _ in after}) == len(after) == N_SCORES
    assert set(before) <= set(after)
    measured = dict(
        ask(
            folder,
            "SELECT split, value FROM run_metric WHERE run_id = ? AND name = 'mae_k'",
            last["run_id"],
        )
    )
    by_hand = ask(
        folder, "SELECT part, avg(abs(predicted_k - actual_k)) FROM prediction GROUP BY 1"
    )
    assert measured == pytest.approx(dict(by_hand), rel=1e-9)
    rows = ask(
        folder,
        "SELECT sum(value) FROM run_metric WHERE run_id = ? AND name = 'n'",
        last["run_id"],
    )
    assert rows == [(N_SCORES,)]
