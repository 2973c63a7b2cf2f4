"""The settings of collecting: one frozen class per section, with its one set of defaults.

Nothing heavy is imported here, so that `--help` and `config show` stay quick.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from scraper.importers.formats import Format

STRICT: Final = ConfigDict(extra="forbid", allow_inf_nan=False, defer_build=True)
PROXY_SCHEMES: Final = ("http", "https", "socks5", "socks5h")


def check_proxy(url: str) -> str:
    """Return a proxy's address unchanged; empty is none. Raises ValueError, without the address."""
    # Whoever reads the message may read no password.
    wanted = f"expected {', '.join(PROXY_SCHEMES)}://[USER:PASSWORD@]HOST:PORT"
    try:
        parts = urlsplit(url)
        is_whole = parts.scheme in PROXY_SCHEMES and parts.hostname and parts.port
    except ValueError as error:
        raise ValueError(f"a proxy's address that cannot be read: {wanted}") from error
    if url and (not is_whole or parts.path.strip("/") or parts.query or parts.fragment):
        raise ValueError(f"a proxy's address that is none: {wanted}")
    return url


def _check_browser_proxy(url: str) -> str:
    if urlsplit(check_proxy(url)).username is not None:
        raise ValueError(
            "browser.proxy with a user or a password: Chromium takes none on its command line; "
            "run a forwarding proxy of your own on this machine that adds them"
        )
    return url


def _check_language(tags: str) -> str:
    if tags.split(",")[0].split("-")[0] != "en":
        raise ValueError(
            f"browser.language is {tags!r}: the first has to be English, such as en-DE, since "
            "counts are read as the site prints them in English"
        )
    return tags


Proxy = Annotated[str, AfterValidator(check_proxy)]
BrowserProxy = Annotated[str, AfterValidator(_check_browser_proxy)]


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
    """How Chromium is run, as whom, and how long it may take.

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
    profile: Path | None = Field(
        default=None, description="a user-data folder kept between runs; empty: a new one each time"
    )
    cookies: Path | None = Field(
        default=None, description="cookies.txt of a visitor; only the site's own are used"
    )
    headful: bool = Field(default=False, description="show the window; needs a display")
    user_agent: str = Field(
        default="", pattern=r"^[ -~]*$", description="what it calls itself; empty: its own name"
    )
    language: Annotated[str, AfterValidator(_check_language)] = Field(
        default="en-US",
        pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*(,[a-z]{2,3}(-[A-Za-z0-9]{2,8})*)*$",
        description="of the visitor, English first, such as en-DE,de",
    )
    binary: Path | None = Field(
        default=None, description="the browser's program; empty: chromium on the PATH"
    )
    proxy: BrowserProxy = Field(default="", description="for pages, robots.txt and files")


@dataclass(frozen=True, config=STRICT)
class FetchConfig:
    """How files are had, and what one may cost: its bytes, its seconds, the disk left free.

    backend: `direct` opens the site's own page in the browser; `yt-dlp` asks that program, which
    knows other platforms too. format: what yt-dlp is to choose, in its own words.
    """

    backend: Literal["direct", "yt-dlp"] = "direct"
    # The last alone takes a picture without sound: where there is none.
    format: str = Field(
        default="bv*[ext=mp4]+ba[ext=m4a]/b[ext=mp4]/bv*[ext=mp4]+ba/b/bv*",
        min_length=1,
        description="for yt-dlp, in its words; the best of at most 1080 lines",
    )
    # Not shown by repr, as it may hold a password.
    proxy: Proxy = Field(default="", repr=False, description="for files; empty: browser.proxy")
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


def check_zone(name: str) -> str:
    """Return the name of a time zone unchanged. Raises ValueError where there is none of it."""
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError) as error:
        raise ValueError(f"{name!r} is no time zone: expected the like of Asia/Tokyo") from error
    return name


@dataclass(frozen=True, config=STRICT)
class ImportConfig:
    """What whoever imports a file knows better than it: the flags of `import`, by their names.

    No section of the settings, as each file has its own.
    """

    format: Format | None = None
    platform: str | None = None
    columns: Mapping[str, str] = Field(default_factory=dict)
    locale: str | None = None
    ignore: tuple[str, ...] = ()
    timezone: Annotated[str, AfterValidator(check_zone)] = "UTC"
    date_format: str | None = None
    encoding: str | None = None
    keep_round_ids: bool = False
    observed_at: datetime | None = None
    caption_from_name: bool = False


SECTIONS: Final[Mapping[str, type]] = {
    "site": SiteConfig,
    "scrape": ScrapeConfig,
    "refresh": RefreshConfig,
    "browser": BrowserConfig,
    "fetch": FetchConfig,
}
