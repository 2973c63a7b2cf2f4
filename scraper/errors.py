"""What can go wrong between the site and a verified file.

ScrapeError
├── BadId              an id that no video can have
├── UnreadableCount    a view count that is not in the site's English form
├── PageChanged        a page without what we read from it
├── SiteFailed         the site answers with a failure of its own
├── Blocked            a captcha, a login wall or a refusal: we stop, we do not get around it
├── NoSuchHashtag      the site does not know the hashtag
├── NotAllowed         robots.txt forbids the address
│   └── RobotsUnread   robots.txt could not be read: nothing at all is visited
├── LiveSiteRefused    a site that is not on this machine, without leave in the settings (exit 3)
├── SitePaused         the site wants to be left alone until a time that is not over (exit 5)
├── VideoGone          deleted, or its author's account is
├── VideoUnavailable   there, but not for this visitor
│   ├── PrivateVideo   for its author's friends, or a private account's
│   └── RegionLocked   not for visitors from here
├── NoMedia            a post without a playable video, such as a slideshow
├── DownloadFailed     no whole file came; it may come another time
│   └── UrlExpired     the signed address is over; the video's page gives another
├── NoSpace            the disk is nearly full
├── BadSalt            the file with the key of the author hash holds none (exit 3)
├── ToolMissing        ffmpeg is not installed (exit 3)
├── BadMedia           a file came, but not the video that was announced
│   └── MediaTooLarge  more bytes than the limit
└── BrowserFailed      the browser is lost; the next video needs a new one
    ├── PageTimeout    a page that does not answer in time, or whose script never ends
    └── BrowserMissing Chromium or its driver is not installed (exit 3)

`code` is what the catalog stores with a row; `permanent` says that trying again is of no use.
"""

from typing import ClassVar, Literal

# By what we know that the site wants no more of us. elsewhere: it led to another address; empty:
# a reply with nothing in it; verify: a reply that asks for a proof; waf: a page that works on one.
BlockMark = Literal[
    "captcha", "elsewhere", "empty", "forbidden", "login", "rate_limited", "verify", "waf"
]


class ScrapeError(Exception):
    """Stand for every known way in which the site or a file says no."""

    exit_code: ClassVar[int] = 1
    code: ClassVar[str] = "scrape_error"
    permanent: ClassVar[bool] = False


class BadId(ScrapeError):
    """Show the id, and what ids look like."""

    code: ClassVar[str] = "bad_id"
    permanent: ClassVar[bool] = True


class UnreadableCount(ScrapeError):
    """Show the text that is no count; nobody may take it for zero."""

    code: ClassVar[str] = "unreadable_count"


class PageChanged(ScrapeError):
    """Name what a page should have had."""

    code: ClassVar[str] = "page_changed"


class SiteFailed(ScrapeError):
    """Give the status that the site answered with."""

    code: ClassVar[str] = "site_failed"


class Blocked(ScrapeError):
    """Say by which mark we know that the site wants no more of us.

    retry_after_s: for how long the site asks to be left alone; None: it did not say.
    """

    code: ClassVar[str] = "blocked"

    def __init__(
        self, message: str, *, mark: BlockMark, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.mark = mark
        self.retry_after_s = retry_after_s


class NoSuchHashtag(ScrapeError):
    """Name the hashtag that the site does not have."""

    code: ClassVar[str] = "no_such_hashtag"
    permanent: ClassVar[bool] = True


class NotAllowed(ScrapeError):
    """Name the address that robots.txt keeps to itself."""

    code: ClassVar[str] = "not_allowed"


class RobotsUnread(NotAllowed):
    """Say why robots.txt could not be read; asking for it again and again is no manners."""

    code: ClassVar[str] = "robots_unread"


class LiveSiteRefused(ScrapeError):
    """Name the setting without which only a site on this machine is visited."""

    exit_code: ClassVar[int] = 3
    code: ClassVar[str] = "live_site_refused"
    permanent: ClassVar[bool] = True


class SitePaused(ScrapeError):
    """Say until when the site is left alone, and why."""

    exit_code: ClassVar[int] = 5
    code: ClassVar[str] = "site_paused"


class VideoGone(ScrapeError):
    """Say with which status the site answered for a video it no longer shows to anybody."""

    code: ClassVar[str] = "gone"
    permanent: ClassVar[bool] = True


class VideoUnavailable(ScrapeError):
    """Say with which status the site kept a video from this visitor."""

    code: ClassVar[str] = "unavailable"


class PrivateVideo(VideoUnavailable):
    """Say with which mark the site keeps a video to some."""

    code: ClassVar[str] = "private"


class RegionLocked(VideoUnavailable):
    """Say with which mark the site keeps a video from this part of the world."""

    code: ClassVar[str] = "region_locked"


class NoMedia(ScrapeError):
    """Say why a post has nothing to download."""

    code: ClassVar[str] = "no_media"
    permanent: ClassVar[bool] = True


class DownloadFailed(ScrapeError):
    """Say how far a download came."""

    code: ClassVar[str] = "download_failed"


class UrlExpired(DownloadFailed):
    """Say which refusal tells that a signed address is over."""

    code: ClassVar[str] = "url_expired"


class NoSpace(ScrapeError):
    """Say how much is free and how much must stay free."""

    code: ClassVar[str] = "no_space"


class BadSalt(ScrapeError):
    """Name the file and how it can be had back."""

    exit_code: ClassVar[int] = 3
    code: ClassVar[str] = "bad_salt"
    permanent: ClassVar[bool] = True


class ToolMissing(ScrapeError):
    """Say which program is to be installed."""

    exit_code: ClassVar[int] = 3
    code: ClassVar[str] = "tool_missing"


class BadMedia(ScrapeError):
    """Say what a downloaded file should have been."""

    code: ClassVar[str] = "bad_media"


class MediaTooLarge(BadMedia):
    """Say how large a file is, and what the limit is."""

    code: ClassVar[str] = "too_large"
    permanent: ClassVar[bool] = True


class BrowserFailed(ScrapeError):
    """Say at which step the browser was lost."""

    code: ClassVar[str] = "browser_failed"


class PageTimeout(BrowserFailed):
    """Say how long we waited, and for what."""

    code: ClassVar[str] = "page_timeout"


class BrowserMissing(BrowserFailed):
    """Say which program is to be installed."""

    exit_code: ClassVar[int] = 3
