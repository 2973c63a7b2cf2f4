"""What can go wrong between the site and a verified file.

ScrapeError
├── BadId              an id that no video can have
├── UnreadableCount    a view count that is not in the site's English form
├── PageChanged        a page without what we read from it
├── SiteFailed         the site answers with a failure of its own
├── Blocked            a captcha, a login wall or a refusal: we stop, we do not get around it
├── NoSuchHashtag      the site does not know the hashtag
├── NotAllowed         robots.txt forbids the address, or could not be read
├── LiveSiteRefused    a site that is not on this machine, without leave in the settings (exit 3)
├── VideoGone          deleted or made private
├── VideoUnavailable   there, but not for this visitor
├── NoMedia            a post without a playable video, such as a slideshow
├── DownloadFailed     no whole file came; it may come another time
├── NoSpace            the disk is nearly full
├── ToolMissing        ffmpeg is not installed (exit 3)
├── BadMedia           a file came, but not the video that was announced
│   └── MediaTooLarge  more bytes than the limit
└── BrowserFailed      the browser is lost; the next video needs a new one
    ├── PageTimeout    a page that does not answer in time, or whose script never ends
    └── BrowserMissing Chromium or its driver is not installed (exit 3)

`code` is what the catalog stores with a row; `permanent` says that trying again is of no use.
"""

from typing import ClassVar


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
    """Say by which mark we know that the site wants no more of us."""

    code: ClassVar[str] = "blocked"


class NoSuchHashtag(ScrapeError):
    """Name the hashtag that the site does not have."""

    code: ClassVar[str] = "no_such_hashtag"
    permanent: ClassVar[bool] = True


class NotAllowed(ScrapeError):
    """Name the address that robots.txt keeps to itself, or why that could not be read."""

    code: ClassVar[str] = "not_allowed"


class LiveSiteRefused(ScrapeError):
    """Name the setting without which only a site on this machine is visited."""

    exit_code: ClassVar[int] = 3
    code: ClassVar[str] = "live_site_refused"
    permanent: ClassVar[bool] = True


class VideoGone(ScrapeError):
    """Say with which status the site answered for a video it no longer shows to anybody."""

    code: ClassVar[str] = "gone"
    permanent: ClassVar[bool] = True


class VideoUnavailable(ScrapeError):
    """Say with which status the site kept a video from this visitor."""

    code: ClassVar[str] = "unavailable"


class NoMedia(ScrapeError):
    """Say why a post has nothing to download."""

    code: ClassVar[str] = "no_media"
    permanent: ClassVar[bool] = True


class DownloadFailed(ScrapeError):
    """Say how far a download came."""

    code: ClassVar[str] = "download_failed"


class NoSpace(ScrapeError):
    """Say how much is free and how much must stay free."""

    code: ClassVar[str] = "no_space"


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
