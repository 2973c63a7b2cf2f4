import re
import subprocess
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from scraper.replica.content import TOPICS, ReplicaConfig
from scraper.replica.server import Replica
from scraper.replica.site import card_variant
from tests.programs import HANG_S


def get(url, **params):
    """Ask without a proxy, and wait for as long as a busy machine takes."""
    return httpx.get(url, params=params or None, trust_env=False, timeout=HANG_S)


@pytest.fixture
def client(replica):
    with httpx.Client(base_url=replica.url, trust_env=False, timeout=HANG_S) as client:
        yield client


@pytest.mark.ffmpeg
def test_a_visitor_comes_from_the_hashtag_to_the_file(replica, client):
    assert client.get("/tag/pets").status_code == 200
    detail = client.get("/api/challenge/detail/", params={"challengeName": "pets"}).json()
    query = {"challengeID": detail["challengeInfo"]["challenge"]["id"], "count": 30, "cursor": 0}
    listing = client.get("/api/challenge/item_list/", params=query).json()
    item = min(listing["itemList"], key=lambda i: i["video"]["duration"] * i["video"]["width"])
    address = item["video"]["playAddr"]
    assert address.startswith(replica.url)
    referer = {"Referer": f"{replica.url}/"}
    whole = client.get(address, headers=referer)
    assert whole.status_code == 200
    assert whole.headers["content-type"] == "video/mp4"
    assert whole.content[4:8] == b"ftyp"
    part = client.get(address, headers=referer | {"Range": "bytes=100-"})
    assert part.status_code == 206
    assert part.content == whole.content[100:]
    assert client.head(address, headers=referer).headers["content-length"] == str(
        len(whole.content)
    )
    assert client.get(address).status_code == 403


def test_every_request_is_in_the_log(replica, client):
    client.get("/robots.txt", headers={"User-Agent": "viewcast"})
    client.get("/tag/sports?lang=en")
    first, second = replica.requests
    assert (first.method, first.path, first.status) == ("GET", "/robots.txt", 200)
    assert first.user_agent == "viewcast"
    assert (second.path, second.target) == ("/tag/sports", "/tag/sports?lang=en")
    assert first.at_s <= second.at_s


@pytest.mark.ffmpeg
def test_visitors_at_the_same_time_get_the_same_file(tmp_path):
    with Replica(ReplicaConfig(videos_per_tag=1), tmp_path) as replica:
        path = f"/@/video/{replica.content.videos[0].tiktok_id}"

        def visit(_):
            page = get(replica.url + path).text
            return re.search(r'"DataSize": (\d+)', page)[1]

        with ThreadPoolExecutor(4) as pool:
            assert len(set(pool.map(visit, range(4)))) == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_a_clip_that_cannot_be_made_is_a_server_error(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with Replica(ReplicaConfig(videos_per_tag=1), tmp_path) as replica:
        path = f"/@/video/{replica.content.videos[0].tiktok_id}"
        assert get(replica.url + path).status_code == 500


def test_closing_ends_connections_that_are_still_open(tmp_path):
    replica = Replica(ReplicaConfig(videos_per_tag=1), tmp_path)
    with httpx.Client(base_url=replica.url, trust_env=False, timeout=HANG_S) as client:
        client.get("/robots.txt")
        replica.close()
        replica.close()
        with pytest.raises(httpx.TransportError):
            client.get("/robots.txt")


def dump(url, profile):
    """The page as Chromium has built it after three seconds of its own time."""
    command = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    command += ["--disable-dev-shm-usage", f"--user-data-dir={profile}", "--window-size=1366,900"]
    command += ["--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"]
    command += ["--virtual-time-budget=3000", "--dump-dom", url]
    done = subprocess.run(command, capture_output=True, check=True, timeout=HANG_S, text=True)
    return done.stdout


@pytest.mark.chromium
@pytest.mark.parametrize("variant", ["A", "B"])
def test_a_browser_builds_the_cards_of_a_hashtag(replica, tmp_path, variant):
    name = next(t[0] for t in TOPICS.values() if card_variant(t[0]) == variant)
    page = dump(f"{replica.url}/tag/{name}", tmp_path)
    n_cards = page.count('data-e2e="challenge-item"')
    assert n_cards >= 30
    assert f'href="{replica.url}/@' in page
    assert f">#{name}</h1>" in page
    assert page.count('data-e2e="video-views"') == (n_cards if variant == "A" else 0)
    assert page.count('data-e2e="challenge-item-username"') == (n_cards if variant == "B" else 0)


@pytest.mark.chromium
def test_a_browser_is_told_that_a_hashtag_does_not_exist(replica, tmp_path):
    assert "Couldn’t find this hashtag" in dump(f"{replica.url}/tag/nonsense", tmp_path)


def test_a_late_reply_is_cut_short_by_closing(tmp_path):
    replica = Replica(
        ReplicaConfig(videos_per_tag=1), tmp_path, faults={"sports": "slow:600", "dance": "slow"}
    )
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(httpx.get, f"{replica.url}/tag/sports", trust_env=False, timeout=None)
        began_s = time.monotonic()
        assert get(f"{replica.url}/tag/dance").status_code == 200
        assert time.monotonic() - began_s >= 0.3
        replica.close()
        with pytest.raises(httpx.TransportError):
            asked.result(timeout=HANG_S)


def test_a_body_without_end_ends_when_the_site_closes(tmp_path):
    faults = {"sports": "endless_body:20,after=0"}
    replica = Replica(ReplicaConfig(videos_per_tag=1), tmp_path, faults=faults)
    with httpx.stream("GET", f"{replica.url}/tag/sports", trust_env=False, timeout=None) as reply:
        assert reply.headers["transfer-encoding"] == "chunked"
        blocks = reply.iter_raw()
        assert sum(len(next(blocks)) for _ in range(5)) > 100_000
        replica.close()
        with pytest.raises(httpx.TransportError):  # no chunk of length 0 ever comes
            deque(blocks, maxlen=0)


def test_a_body_without_end_ends_when_the_visitor_leaves(tmp_path):
    faults = {"sports": "endless_body:20,after=0"}
    with Replica(ReplicaConfig(videos_per_tag=1), tmp_path, faults=faults) as replica:
        before = threading.enumerate()
        page = f"{replica.url}/tag/sports"
        with httpx.stream("GET", page, trust_env=False, timeout=None) as reply:
            next(reply.iter_raw())
            (sender,) = [t for t in threading.enumerate() if t not in before]
        sender.join(HANG_S)
        assert not sender.is_alive()


def test_a_fault_is_switched_while_the_site_runs(replica, client):
    replica.site.set_fault("sports", "server_error")
    assert client.get("/tag/sports").status_code == 500
    replica.site.set_fault("sports", None)
    assert client.get("/tag/sports").status_code == 200
    assert [r.status for r in replica.requests] == [500, 200]


def test_days_pass_by_the_clock_that_is_given(tmp_path):
    days = [0.0]
    with Replica(ReplicaConfig(videos_per_tag=1), tmp_path, days=lambda: days[0]) as replica:

        def views():
            asked = get(f"{replica.url}/api/challenge/detail/", challengeName="sports")
            return asked.json()["challengeInfo"]["stats"]["viewCount"]

        first = views()
        days[0] = 0.9  # before anything vanishes
        assert views() > first
