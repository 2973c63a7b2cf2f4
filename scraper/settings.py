"""The settings of collecting: one frozen class per section, with its one set of defaults.

Nothing heavy is imported here, so that `--help` and `config show` stay quick.
"""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

STRICT: Final = ConfigDict(extra="forbid", allow_inf_nan=False, defer_build=True)


@dataclass(frozen=True, config=STRICT)
class SiteLimits:
    """How much is asked of a site, and how it is taken that it refuses.

    daily_pages: None means 1,500 of a live site, and no limit on this machine. max_wait_s: the
    longest Retry-After that is waited for within a run. blocks_to_stop: after so many refusals in
    a row nothing more is asked of the site for a while.
    """

    daily_pages: int | None = Field(
        default=None, ge=0, description="pages a day; empty: 1500 on a live site, else no limit"
    )
    max_wait_s: float = Field(
        default=120.0, ge=0, description="longest Retry-After that is waited for within a run"
    )
    blocks_to_stop: int = Field(
        default=3, ge=1, description="refusals in a row after which a run ends"
    )


@dataclass(frozen=True, config=STRICT)
class SiteConfig(SiteLimits):
    """Where to scrape. A host that is not loopback is refused unless `allow_live` is set."""

    base_url: str = "https://www.tiktok.com"
    allow_live: bool = False


@dataclass(frozen=True, config=STRICT)
class ScrapeConfig:
    """What one scrape lists."""

    limit: int = Field(default=60, ge=1, description="videos per page")
    fresh_for_h: float = Field(
        default=20.0, ge=0, description="a page listed more recently is left alone"
    )
    keep_handles: bool = Field(
        default=False, description="also store authors' names, not only their keyed hash"
    )


@dataclass(frozen=True, config=STRICT)
class RefreshConfig:
    """Which known videos are looked at again.

    older_than_h: those whose last observation is older. limit: open at most so many videos' own
    pages. per_tag: list a hashtag anew when its page once showed so many of these videos.
    """

    older_than_h: float = Field(default=24.0, ge=0)
    limit: int = Field(default=1_000, ge=1, description="video pages per run")
    per_tag: int = Field(
        default=5, ge=1, description="a hashtag is listed anew for so many videos of it"
    )

    @property
    def older_than(self) -> timedelta:
        """The age as a length of time."""
        return timedelta(hours=self.older_than_h)


@dataclass(frozen=True, config=STRICT)
class BrowserConfig:
    """How Chromium is run and how long it may take.

    Memory grows with the pages visited, so the browser is replaced after `pages_per_session`.
    """

    page_s: float = Field(default=30.0, gt=0, description="for a page to load")
    script_s: float = Field(default=15.0, gt=0, description="for one look at a page")
    command_s: float = Field(default=40.0, gt=0, description="for anything else")
    look_s: float = Field(default=5.0, gt=0, description="to wait for something new on a page")
    listing_s: float = Field(default=600.0, gt=0, description="for one page that lists")
    pages_per_session: int = Field(default=60, ge=1, description="then the browser is replaced")
    profile_root: Path | None = Field(
        default=None, description="folder of its profiles; empty: a temporary one of this user's"
    )


@dataclass(frozen=True, config=STRICT)
class FetchConfig:
    """What one file may cost: its bytes, the seconds until it is here, the disk left free."""

    max_mb: float = Field(default=200.0, gt=0)
    max_s: float = Field(default=120.0, gt=0)
    min_free_gb: float = Field(default=1.0, ge=0)

    @property
    def max_bytes(self) -> int:
        """The largest file in bytes."""
        return round(self.max_mb * 1e6)

    @property
    def min_free_bytes(self) -> int:
        """What is left free in bytes."""
        return round(self.min_free_gb * 1e9)


SECTIONS: Final[Mapping[str, type]] = {
    "site": SiteConfig,
    "scrape": ScrapeConfig,
    "refresh": RefreshConfig,
    "browser": BrowserConfig,
    "fetch": FetchConfig,
}
