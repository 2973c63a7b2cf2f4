"""kill -9 of `scrape` and `fetch` at random instants: in the end nothing is missing or twice."""

import hashlib
import random
import tempfile
import time
from pathlib import Path

import pytest

from catalog.session import upgrade
from scraper.replica.content import ReplicaConfig
from scraper.replica.server import Replica
from tests.faults import living
from tests.programs import SETTINGS, ask, count, run, start

pytestmark = [pytest.mark.chromium, pytest.mark.ffmpeg]

SITE = ReplicaConfig(videos_per_tag=12, page_size=4, topics=("Sports", "Dance", "Autos", "Music"))
HASHTAGS = ("sports", "football", "dance", "autos", "cars", "music", "newmusic")
SCRAPE = ("scrape", *(word for name in HASHTAGS for word in ("--hashtag", name)), "--limit", "50")
N_SCRAPE_KILLS, N_FETCH_KILLS = 20, 6
SEED = 20261123
# When a killed program's guard must have ended its browser.
GONE_WITHIN_S = 10.0
FACTS = (
    "SELECT tiktok_id, url, caption, posted_at, duration_s, width_px, height_px, gone_at,"
    " author_key FROM video v LEFT JOIN account a ON a.id = v.account_id ORDER BY 1",
    "SELECT tiktok_id, name, found_by FROM video_hashtag l JOIN video v ON v.id = l.video_id"
    " JOIN hashtag h ON h.id = l.hashtag_id ORDER BY 1, 2",
    "SELECT tiktok_id, display_text, views_k, step_k, source FROM view_observation o"
    " JOIN video v ON v.id = o.video_id ORDER BY 1, 2",
    "SELECT name, listed_at IS NULL FROM hashtag ORDER BY 1",
    "SELECT tiktok_id, status, m.uri, sha256, n_bytes FROM media_file m"
    " JOIN video v ON v.id = m.video_id ORDER BY 1",
)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="module")
def site(clips):
    with Replica(SITE, clips) as running:
        yield running


@pytest.fixture(scope="module")
def salt() -> bytes:
    return b"the same for both, so that authors compare"


@pytest.fixture
def make_folder(site, salt, monkeypatch):
    """Make a data folder with an empty catalog; its programs keep their profiles below it."""
    with tempfile.TemporaryDirectory(prefix="vc") as parent:
        monkeypatch.setenv("TMPDIR", parent)

        def make(name: str) -> Path:
            folder = Path(parent) / name
            folder.mkdir()
            upgrade(f"sqlite:///{folder / 'catalog.db'}")
            (folder / "author.salt").write_bytes(salt)
            (folder / SETTINGS).write_text(f'[site]\nbase_url = "{site.url}"\n')
            return folder

        yield make


def facts(folder: Path) -> list[list[tuple]]:
    return [ask(folder, sql) for sql in FACTS]


def kill_at(after_s: float, folder: Path, *arguments: str) -> bool:
    """Start a command and kill it -9 so long after; False when it had ended before."""
    program = start(folder, *arguments)
    time.sleep(after_s)  # the instant is the test's whole point
    was_running = program.poll() is None
    program.kill()
    program.wait()
    deadline_s = time.monotonic() + GONE_WITHIN_S
    while (left := living(str(folder.parent))) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert left == [], "processes of a killed program are alive"
    return was_running


def seconds_of(folder: Path, *arguments: str) -> float:
    start_s = time.monotonic()
    run(folder, *arguments)
    return time.monotonic() - start_s


def test_a_scrape_killed_at_twenty_random_instants_ends_as_an_undisturbed_one(make_folder):
    calm, disturbed = make_folder("calm"), make_folder("disturbed")
    whole_s = seconds_of(calm, *SCRAPE)
    rng = random.Random(SEED)

    n_hit = sum(
        kill_at(rng.uniform(0.0, whole_s), disturbed, *SCRAPE, "--again")
        for _ in range(N_SCRAPE_KILLS)
    )
    run(disturbed, *SCRAPE)

    assert n_hit >= N_SCRAPE_KILLS / 2
    assert facts(disturbed) == facts(calm)
    assert count(disturbed, "run", "status = 'running'") == 0
    assert count(disturbed, "run", "status = 'lost'") > 0
    run(disturbed, "db", "check")


def test_a_fetch_killed_at_random_instants_has_every_file_once_and_whole(make_folder):
    calm, disturbed = make_folder("calm"), make_folder("disturbed")
    for folder in (calm, disturbed):
        run(folder, "scrape", "--hashtag", "sports")
    whole_s = seconds_of(calm, "fetch")
    rng = random.Random(SEED)

    for _ in range(N_FETCH_KILLS):
        kill_at(rng.uniform(0.5, whole_s), disturbed, "fetch")
    run(disturbed, "fetch")

    assert facts(disturbed) == facts(calm)
    rows = ask(disturbed, "SELECT uri, sha256 FROM media_file WHERE status = 'ok'")
    assert len(rows) == SITE.videos_per_tag
    for uri, sha256 in rows:
        assert hashlib.sha256((disturbed / uri).read_bytes()).hexdigest() == sha256
    files = {path.relative_to(disturbed).as_posix() for path in (disturbed / "media").rglob("*")}
    assert {name for name in files if "." in Path(name).name} == {uri for uri, _sha256 in rows}
