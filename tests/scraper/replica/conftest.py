"""A small site that is shared by the tests of one run, so that no clip is made twice."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scraper.replica.content import Content, ReplicaConfig, build_content
from scraper.replica.messages import Request
from scraper.replica.server import Replica

Ask = Callable[..., Request]


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
