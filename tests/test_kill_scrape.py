"""kill -9 of `scrape` and `fetch` at random instants: in the end nothing is missing or twice.

Pages of hashtags are one test, those of accounts and sounds another; files are the third.

The instant is counted in what the site was asked, not in seconds: so on any
machine the program is half-way then."""

import hashlib
import os
import random
import signal
import tempfile
import time
from pathlib import Path

import pytest

from catalog.schema.session import upgrade
from scraper.replica.content import ReplicaConfig
from scraper.replica.server import Replica
from tests.faults import living
from tests.programs import KILL_TIMES, SETTINGS, ask, count, run, start, wait_until

pytestmark = [pytest.mark.chromium, pytest.mark.ffmpeg]

SITE = ReplicaConfig(
    videos_per_tag=12, n_accounts=5, page_size=4, topics=("Sports", "Dance", "Autos", "Music")
)
HASHTAGS = ("sports", "football", "dance", "autos", "cars", "music", "newmusic")
SCRAPE = ("scrape", *(word for name in HASHTAGS for word in ("--hashtag", name)), "--limit", "50")
# Pages of hashtags are listed by the same loop as the others: these are struck most.
N_SCRAPE_KILLS, N_LISTED_KILLS, N_FETCH_KILLS = 4 * KILL_TIMES, 10 * KILL_TIMES, 2 * KILL_TIMES
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
    "SELECT author_key, handle, wanted_at IS NULL, listed_at IS NULL FROM account ORDER BY 1",
    "SELECT author_key, n_followers, n_following, n_likes, n_posts, is_verified, bio_chars,"
    " o.region, source FROM account_observation o JOIN account a ON a.id = o.account_id"
    " ORDER BY 1, 2, 9",
    "SELECT platform_id, title, author, is_original, s.duration_s, tiktok_id,"
    " s.wanted_at IS NULL, s.listed_at IS NULL FROM sound s"
    " LEFT JOIN video v ON v.sound_id = s.id ORDER BY 1, 6",
    "SELECT platform_id, n_videos, source FROM sound_observation o"
    " JOIN sound s ON s.id = o.sound_id ORDER BY 1, 2",
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
    # All of its group; its browser's is another, which a guard ends.
    os.killpg(program.pid, signal.SIGKILL)
    program.wait()
    wait_until(lambda: living(str(folder.parent)) == [])  # the guard of its browser ends that
    return was_running


def questions_of(site: Replica, folder: Path, *arguments: str) -> int:
    """Run a command to its end; how often it asks the site."""
    n_before = len(site.requests)
    run(folder, *arguments)
    return len(site.requests) - n_before


def test_a_scrape_killed_at_random_instants_ends_as_an_undisturbed_one(site, make_folder):
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


def test_listings_of_accounts_and_sounds_killed_at_ten_random_instants_end_as_undisturbed_ones(
    site, make_folder
):
    calm, disturbed = make_folder("calm"), make_folder("disturbed")
    handles = [account.handle for account in site.content.accounts[:-1]]
    sounds = [name for name, videos in site.content.by_sound.items() if len(videos) > 1]
    assert len(handles) + len(sounds) > 7
    for folder in (calm, disturbed):
        addresses = [f"https://www.tiktok.com/music/some-words-{name}" for name in sounds]
        added = run(folder, "add", *(f"@{name}" for name in handles), *addresses)
        assert (added["n_accounts"], added["n_sounds"]) == (len(handles), len(sounds))
    listing = ("scrape", "--limit", "50")
    whole = questions_of(site, calm, *listing)
    rng = random.Random(SEED)

    n_hit = sum(
        kill_at(rng.randrange(whole), rng.uniform(0, PAUSE_S), site, disturbed, *listing, "--again")
        for _ in range(N_LISTED_KILLS)
    )
    run(disturbed, *listing)

    assert n_hit >= N_LISTED_KILLS / 2
    assert facts(disturbed) == facts(calm)
    every = site.content.videos
    assert count(calm, "video") == len(every)
    assert count(calm, "video", "sound_id IS NULL") == 0
    listed = "wanted_at IS NOT NULL AND listed_at IS NOT NULL"
    assert (count(calm, "account", listed), count(calm, "sound", listed)) == (
        len(handles),
        len(sounds),
    )
    # What a page of its own says is stored once, however often it was looked at within the hour.
    assert count(disturbed, "account_observation", "source = 'hydration'") == len(handles)
    assert count(disturbed, "sound_observation") == len(sounds)
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
