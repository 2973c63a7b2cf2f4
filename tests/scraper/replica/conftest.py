"""A small site that is shared by the tests of one run, so that no clip is made twice."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from scraper.replica.content import Content, ReplicaConfig, ReplicaVideo, build_content
from scraper.replica.edits import is_struck
from scraper.replica.items import challenge
from scraper.replica.messages import Reply, Request
from scraper.replica.server import Replica
from scraper.replica.site import ReplicaSite

Ask = Callable[..., Request]
NOW_S = 1_795_000_000.0


def scope_of(reply: Reply) -> dict[str, dict[str, object]]:
    found = re.search(rb'type="application/json">(.*?)</script>', reply.body, re.DOTALL)
    return json.loads(found[1])["__DEFAULT_SCOPE__"]


class Visitor:
    """Asks a site for what a hashtag and its videos have."""

    def __init__(self, site: ReplicaSite, ask: Ask) -> None:
        self.site = site
        self.ask = ask
        self.listed = site.content.by_tag["sports"]
        # The cheapest clips to make: an odd one, and one that is as usual.
        by_cost = sorted(self.listed, key=lambda v: v.duration_s * v.width_px * v.height_px)
        self.struck = {v.tiktok_id for i, v in enumerate(self.listed) if is_struck(i)}
        self.odd = next(v for v in by_cost if v.tiktok_id in self.struck)
        self.plain = next(v for v in by_cost if v.tiktok_id not in self.struck)

    def page(self, hashtag: str = "sports") -> Reply:
        return self.site.answer(self.ask(f"/tag/{hashtag}"))

    def detail(self, hashtag: str = "sports") -> Reply:
        query = {"challengeName": hashtag}
        return self.site.answer(self.ask("/api/challenge/detail/", query=query))

    def part(self, cursor: int = 0, hashtag: str = "sports") -> Reply:
        query = {"challengeID": challenge(hashtag)["id"], "count": "30", "cursor": str(cursor)}
        return self.site.answer(self.ask("/api/challenge/item_list/", query=query))

    def items(self, cursor: int = 0, hashtag: str = "sports") -> list[dict[str, object]]:
        return json.loads(self.part(cursor, hashtag).body)["itemList"]

    def video(self, video: ReplicaVideo) -> Reply:
        return self.site.answer(self.ask(f"/@/video/{video.tiktok_id}"))

    def scope(self, reply: Reply) -> dict[str, dict[str, object]]:
        """The data of a page."""
        return scope_of(reply)

    def struct(self, video: ReplicaVideo) -> dict[str, object]:
        return self.scope(self.video(video))["webapp.video-detail"]["itemInfo"]["itemStruct"]

    def file(self, video: ReplicaVideo, **headers: str) -> Reply:
        """The video's file, at the address that its page gives."""
        parts = urlsplit(self.struct(video)["video"]["playAddr"])
        headers = {"referer": "http://replica.test/"} | headers
        asked = self.ask(parts.path, query=dict(parse_qsl(parts.query)), headers=headers)
        return self.site.answer(asked)


@pytest.fixture(scope="session")
def content() -> Content:
    """The default site: six videos under each of twelve topics."""
    return build_content(ReplicaConfig())


@pytest.fixture(scope="session")
def media_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("replica-media")


@pytest.fixture
def replica(media_folder: Path) -> Iterator[Replica]:
    with Replica(ReplicaConfig(videos_per_tag=35), media_folder) as running:
        yield running


@pytest.fixture(scope="session")
def longer_content() -> Content:
    """More videos under each topic than two parts of a listing hold."""
    return build_content(ReplicaConfig(videos_per_tag=70))


@pytest.fixture
def visitor(longer_content: Content, media_folder: Path, ask: Ask) -> Visitor:
    """A visitor of a site of its own."""
    return Visitor(ReplicaSite(longer_content, media_folder, clock=lambda: NOW_S), ask)


@pytest.fixture
def read_scope() -> Callable[[Reply], dict[str, dict[str, object]]]:
    """Reads the data of a page."""
    return scope_of


@pytest.fixture
def ask() -> Ask:
    """Builds a request as a visitor with the site's cookie sends it."""

    def build(path: str, *, cookie: str = "chain", **fields: object) -> Request:
        made: dict[str, object] = {
            "method": "GET",
            "path": path,
            "query": {},
            "headers": {"referer": "http://replica.test/"},
            "cookies": {"tt_chain_token": cookie} if cookie else {},
            "origin": "http://replica.test",
        }
        return Request(**(made | fields))  # type: ignore[arg-type]  # fields are given by name

    return build
