"""kill -9 of `scrape` and `fetch` at random instants: in the end nothing is missing or twice.

The instant is counted in what the site was asked, not in seconds: so on any
machine the program is half-way then."""

import hashlib
import random
import tempfile
import time
from pathlib import Path

import pytest

from catalog.schema.session import upgrade
from scraper.replica.content import ReplicaConfig
from scraper.replica.server import Replica
from tests.faults import living
from tests.programs import SETTINGS, ask, count, run, start, wait_until

pytestmark = [pytest.mark.chromium, pytest.mark.ffmpeg]

SITE = ReplicaConfig(videos_per_tag=12, page_size=4, topics=("Sports", "Dance", "Autos", "Music"))
HASHTAGS = ("sports", "football", "dance", "autos", "cars", "music", "newmusic")
SCRAPE = ("scrape", *(word for name in HASHTAGS for word in ("--hashtag", name)), "--limit", "50")
N_SCRAPE_KILLS, N_FETCH_KILLS = 20, 6
SEED = 20261123
# Longer than it takes from one question to the next, so that the time between them is struck, too.
PAUSE_S = 0.3
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


def kill_at(n_asked: int, pause_s: float, site: Replica, folder: Path, *arguments: str) -> bool:
    """Start a command and kill it -9 a moment after so many questions; False: it had ended."""
    n_before = len(site.requests)
    program = start(folder, *arguments)
    wait_until(lambda: len(site.requests) - n_before >= n_asked or program.poll() is not None)
    time.sleep(pause_s)
    was_running = program.poll() is None
    program.kill()
    program.wait()
    wait_until(lambda: living(str(folder.parent)) == [])  # the guard of its browser ends that
    return was_running


def questions_of(site: Replica, folder: Path, *arguments: str) -> int:
    """Run a command to its end; how often it asks the site."""
    n_before = len(site.requests)
    run(folder, *arguments)
    return len(site.requests) - n_before


def test_a_scrape_killed_at_twenty_random_instants_ends_as_an_undisturbed_one(site, make_folder):
    calm, disturbed = make_folder("calm"), make_folder("disturbed")
    whole = questions_of(site, calm, *SCRAPE)
    rng = random.Random(SEED)

    n_hit = sum(
        kill_at(rng.randrange(whole), rng.uniform(0, PAUSE_S), site, disturbed, *SCRAPE, "--again")
        for _ in range(N_SCRAPE_KILLS)
    )
    run(disturbed, *SCRAPE)

    assert n_hit >= N_SCRAPE_KILLS / 2
    assert facts(disturbed) == facts(calm)
    assert count(disturbed, "run", "status = 'running'") == 0
    assert count(disturbed, "run", "status = 'lost'") > 0
    run(disturbed, "db", "check")


def test_a_fetch_killed_at_random_instants_has_every_file_once_and_whole(site, make_folder):
    calm, disturbed = make_folder("calm"), make_folder("disturbed")
    for folder in (calm, disturbed):
        run(folder, "scrape", "--hashtag", "sports")
    whole = questions_of(site, calm, "fetch")
    rng = random.Random(SEED)

    n_hit = sum(
        kill_at(rng.randrange(whole // 3), rng.uniform(0, PAUSE_S), site, disturbed, "fetch")
        for _ in range(N_FETCH_KILLS)
    )
    run(disturbed, "fetch")

    assert n_hit >= 1

    assert facts(disturbed) == facts(calm)
    rows = ask(disturbed, "SELECT uri, sha256 FROM media_file WHERE status = 'ok'")
    assert len(rows) == SITE.videos_per_tag
    for uri, sha256 in rows:
        assert hashlib.sha256((disturbed / uri).read_bytes()).hexdigest() == sha256
    files = {path.relative_to(disturbed).as_posix() for path in (disturbed / "media").rglob("*")}
    assert {name for name in files if "." in Path(name).name} == {uri for uri, _sha256 in rows}
