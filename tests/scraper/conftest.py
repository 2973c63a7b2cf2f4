"""The replica site for the whole run, and a short folder for the browser's profiles."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from scraper.politeness import Site
from scraper.replica.content import ReplicaConfig
from scraper.replica.edits import Fault
from scraper.replica.messages import Reply, Request
from scraper.replica.server import Replica
from scraper.settings import BrowserConfig
from scraper.visit.browser import Browser, open_browser


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


class Switch:
    """What the site does instead of listing "sports"; None lets it list."""

    def __init__(self) -> None:
        self.fault: Fault | None = None

    def __call__(self, request: Request) -> Reply | None:
        return self.fault(request) if self.fault else None


@pytest.fixture(scope="module")
def switch() -> Switch:
    return Switch()


@pytest.fixture
def faulty(switch: Switch) -> Iterator[Switch]:
    """The switch, put back afterwards."""
    yield switch
    switch.fault = None


@pytest.fixture(scope="module")
def live(clips: Path, switch: Switch) -> Iterator[Replica]:
    """The replica with more videos under a hashtag than one part of a listing holds."""
    config = ReplicaConfig(videos_per_tag=40)
    with Replica(config, clips, faults={"sports": switch}) as running:
        yield running


@pytest.fixture
def profiles() -> Iterator[Path]:
    """A folder for profiles. Not pytest's own: a socket's path below it would be too long."""
    with tempfile.TemporaryDirectory(prefix="vc") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def shared_browser(live: Replica) -> Iterator[Browser]:
    """One browser for the tests that do not break it."""
    with (
        tempfile.TemporaryDirectory(prefix="vc") as folder,
        open_browser(
            BrowserConfig(profile_root=Path(folder), look_s=1.0), Site(live.url)
        ) as running,
    ):
        yield running
