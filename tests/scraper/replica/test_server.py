import re
import subprocess
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from scraper.replica.content import TOPICS, ReplicaConfig
from scraper.replica.server import Replica
from scraper.replica.site import card_variant


@pytest.fixture
def client(replica):
    with httpx.Client(base_url=replica.url, trust_env=False) as client:
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
    assert first.client_port == second.client_port


@pytest.mark.ffmpeg
def test_visitors_at_the_same_time_get_the_same_file(tmp_path):
    with Replica(ReplicaConfig(videos_per_tag=1), tmp_path) as replica:
        path = f"/@/video/{replica.content.videos[0].tiktok_id}"

        def visit(_):
            page = httpx.get(replica.url + path, trust_env=False, timeout=30).text
            return re.search(r'"DataSize": (\d+)', page)[1]

        with ThreadPoolExecutor(4) as pool:
            assert len(set(pool.map(visit, range(4)))) == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_a_clip_that_cannot_be_made_is_a_server_error(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with Replica(ReplicaConfig(videos_per_tag=1), tmp_path) as replica:
        path = f"/@/video/{replica.content.videos[0].tiktok_id}"
        assert httpx.get(replica.url + path, trust_env=False).status_code == 500


def test_closing_ends_connections_that_are_still_open(tmp_path):
    replica = Replica(ReplicaConfig(videos_per_tag=1), tmp_path)
    with httpx.Client(base_url=replica.url, trust_env=False) as client:
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
    done = subprocess.run(command, capture_output=True, check=True, timeout=60, text=True)
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
