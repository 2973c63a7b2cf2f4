"""Every error of the scraper: of the site, of a file, of an import and of the replica.

ScrapeError
├── BadId              an id that no video can have
├── UnreadableCount    a view count that is not in the site's English form
├── PageChanged        a page without what we read from it
├── SiteFailed         the site answers with a failure of its own
├── Blocked            a captcha, a login wall or a refusal: we stop, we do not get around it
├── NoSuchHashtag      the site does not know the hashtag
├── NoSuchAccount      the site does not know the account, or not any more
├── NoSuchSound        the site does not know the sound, or not any more
├── PrivateAccount     an account whose videos are for those that it has let in
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
├── BadCookies         a file of cookies that cannot be read, or holds none of the site's (exit 3)
├── ToolMissing        ffmpeg is not installed (exit 3)
├── BadMedia           a file came, but not the video that was announced
│   └── MediaTooLarge  more bytes than the limit
├── BrowserFailed      the browser is lost; the next video needs a new one
│   ├── PageTimeout    a page that does not answer in time, or whose script never ends
│   └── BrowserMissing Chromium or its driver is not installed (exit 3)
├── ImportRefused      a file that somebody brings cannot be taken
│   ├── UnknownFormat  nothing in the file says what it is, or it is something else (exit 2)
│   ├── BadColumns     a table without the columns we need, or with two for one thing (exit 2)
│   ├── BadOption      an option that cannot be, or that contradicts the file (exit 2)
│   ├── ExtraMissing   a format or a back-end whose package is not installed (exit 3)
│   └── RowRefused     one row that is no usable video; the others are not touched
└── ReplicaError       the replica of the site could not do something
    ├── UnknownFault   a fault that there is not; the message names those that there are
    └── ClipFailed     ffmpeg is missing, or refused the picture or the sound

`code` is what the catalog stores with a row; `permanent` says that trying again is of no use.
"""

from typing import ClassVar, Literal

from catalog.errors import PrintableError, readable

# By what we know that the site wants no more of us. elsewhere: it led to another address; empty:
# a reply with nothing in it; verify: a reply that asks for a proof; waf: a page that works on one.
BlockMark = Literal[
    "captcha", "elsewhere", "empty", "forbidden", "login", "rate_limited", "verify", "waf"
]

MAX_DETAIL_CHARS = 500


class ScrapeError(PrintableError):
    """Stand for every known way in which the site, a file or the replica says no."""

    code: ClassVar[str] = "scrape_error"
    exit_code: ClassVar[int] = 1
    permanent: ClassVar[bool] = False

    def __init_subclass__(
        cls,
        *,
        code: str | None = None,
        exit_code: int | None = None,
        permanent: bool | None = None,
    ) -> None:
        """Give a kind of error what it does not share with its parent."""
        super().__init_subclass__()
        if code is not None:
            cls.code = code
        if exit_code is not None:
            cls.exit_code = exit_code
        if permanent is not None:
            cls.permanent = permanent


class BadId(ScrapeError, code="bad_id", permanent=True):
    """Show the id, and what ids look like."""


class UnreadableCount(ScrapeError, code="unreadable_count"):
    """Show the text that is no count; nobody may take it for zero."""


class PageChanged(ScrapeError, code="page_changed"):
    """Name what a page should have had."""


class SiteFailed(ScrapeError, code="site_failed"):
    """Give the status that the site answered with."""


class Blocked(ScrapeError, code="blocked"):
    """Say by which mark we know that the site wants no more of us.

    retry_after_s: for how long the site asks to be left alone; None: it did not say.
    """

    def __init__(
        self, message: str, *, mark: BlockMark, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.mark = mark
        self.retry_after_s = retry_after_s


class NoSuchHashtag(ScrapeError, code="no_such_hashtag", permanent=True):
    """Name the hashtag that the site does not have."""


class NoSuchAccount(ScrapeError, code="no_such_account", permanent=True):
    """Say with which status or words; who it was is not written down."""


class NoSuchSound(ScrapeError, code="no_such_sound", permanent=True):
    """Name the sound that the site does not have."""


class PrivateAccount(ScrapeError, code="private_account"):
    """Say with which status or words an account keeps its videos to some."""


class NotAllowed(ScrapeError, code="not_allowed"):
    """Name the address that robots.txt keeps to itself."""


class RobotsUnread(NotAllowed, code="robots_unread"):
    """Say why robots.txt could not be read; asking for it again and again is no manners."""


class LiveSiteRefused(ScrapeError, code="live_site_refused", exit_code=3, permanent=True):
    """Name the setting without which only a site on this machine is visited."""


class SitePaused(ScrapeError, code="site_paused", exit_code=5):
    """Say until when the site is left alone, and why."""


class VideoGone(ScrapeError, code="gone", permanent=True):
    """Say with which status the site answered for a video it no longer shows to anybody."""


class VideoUnavailable(ScrapeError, code="unavailable"):
    """Say with which status the site kept a video from this visitor."""


class PrivateVideo(VideoUnavailable, code="private"):
    """Say with which mark the site keeps a video to some."""


class RegionLocked(VideoUnavailable, code="region_locked"):
    """Say with which mark the site keeps a video from this part of the world."""


class NoMedia(ScrapeError, code="no_media", permanent=True):
    """Say why a post has nothing to download."""


class DownloadFailed(ScrapeError, code="download_failed"):
    """Say how far a download came."""


class UrlExpired(DownloadFailed, code="url_expired"):
    """Say which refusal tells that a signed address is over."""


class NoSpace(ScrapeError, code="no_space"):
    """Say how much is free and how much must stay free."""


class BadSalt(ScrapeError, code="bad_salt", exit_code=3, permanent=True):
    """Name the file and how it can be had back."""


class BadCookies(ScrapeError, code="bad_cookies", exit_code=3, permanent=True):
    """Name the file and the line; never a cookie's value."""


class ToolMissing(ScrapeError, code="tool_missing", exit_code=3):
    """Say which program is to be installed."""


class BadMedia(ScrapeError, code="bad_media"):
    """Say what a downloaded file should have been."""


class MediaTooLarge(BadMedia, code="too_large", permanent=True):
    """Say how large a file is, and what the limit is."""


class BrowserFailed(ScrapeError, code="browser_failed"):
    """Say at which step the browser was lost."""


class PageTimeout(BrowserFailed, code="page_timeout"):
    """Say how long we waited, and for what."""


class BrowserMissing(BrowserFailed, exit_code=3):
    """Say which program is to be installed."""


class ImportRefused(ScrapeError, code="import_refused", permanent=True):
    """Name the file, and what would have been right."""

    def __init__(self, message: str) -> None:
        """Keep to one line, whatever a file is named or says of its columns."""
        super().__init__(printable(message))


class UnknownFormat(ImportRefused, code="unknown_format", exit_code=2):
    """Say what was found, and which formats there are."""


class BadColumns(ImportRefused, code="bad_columns", exit_code=2):
    """Name the columns of the file and the option that says which is which."""


class BadOption(ImportRefused, code="bad_option", exit_code=2):
    """Show the option, and what would have been right."""


class ExtraMissing(ImportRefused, code="extra_missing", exit_code=3):
    """Name the extra to install."""


class RowRefused(ImportRefused, code="row_refused"):
    """Give the reason's code, and in words what was there and what would have been right."""

    def __init__(self, reason: str, detail: str, tiktok_id: str | None = None) -> None:
        """Refuse a row; tiktok_id is None where it has no valid one."""
        self.reason, self.tiktok_id = reason, tiktok_id
        self.detail = one_line(detail)
        super().__init__(f"{reason}: {self.detail}")


class ReplicaError(ScrapeError, code="replica_error"):
    """Say what the replica of the site could not do."""


class UnknownFault(ReplicaError, code="unknown_fault"):
    """Show what was asked for, and what there is."""


class ClipFailed(ReplicaError, code="clip_failed"):
    """Give ffmpeg's last words, or say that it is missing."""


def one_line(text: str) -> str:
    """Return a text that any database, log and terminal takes, cut to what is worth keeping."""
    return printable(text[:MAX_DETAIL_CHARS])


def printable(text: str) -> str:
    """Return a text – a file's name may be anything – on one line, without what cannot be shown."""
    plain = "".join(letter if letter.isprintable() else " " for letter in readable(text))
    return plain.encode("utf-8", "replace").decode("utf-8")


def shown(value: object) -> str:
    """Return a foreign value as it can be quoted in a message."""
    if isinstance(value, (list, dict)):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    if isinstance(value, int) and abs(value) > 10**30:
        return "a number of more than 30 digits"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"
