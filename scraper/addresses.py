"""Addresses and names as people write them: which video, account, sound or hashtag they mean."""

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from scraper.errors import RowRefused, shown
from scraper.importers.fields import TIKTOK, read_id
from scraper.items import HANDLE, HASHTAG, page_id

Kind = Literal["video", "account", "sound", "hashtag", "short"]

# With the site's newer names of other countries: what its own data download and its apps write.
SITE_HOST = re.compile(r"(?:[\w-]+\.)*tiktokv?\.(?:com|us|eu)")
SHORT_HOSTS = frozenset({"vm.tiktok.com", "vt.tiktok.com"})
SHORT_PATH = re.compile(r"/t/(\w+)/?")
VIDEO_PATHS = (
    re.compile(r"/@[^/]*/(?P<kind>video|photo)/(?P<id>[^/]+)/?"),
    re.compile(r"/(?:i18n/)?share/(?P<kind>video|photo)/(?P<id>[^/]+)/?"),
    re.compile(r"/embed/(?:v[0-9]+/)?(?P<id>[0-9][^/]*)/?"),
    re.compile(r"/player/v[0-9]+/(?P<id>[^/]+)/?"),
    re.compile(r"/v/(?P<id>[0-9]+)(?:\.html)?/?"),
)
ACCOUNT_PATH = re.compile(r"/(?:embed/)?@([^/]+)/?")
SOUND_PATH = re.compile(r"/(?:share/)?music/(?:[^/]*-)?([0-9]{5,20})/?")
HASHTAG_PATH = re.compile(r"/tag/([^/]+)/?")
SOUND_ID = re.compile(r"[0-9]{5,20}")
YOUTUBE_HOST = re.compile(r"(?:www\.|m\.|music\.)?youtube(?:-nocookie)?\.com")
YOUTUBE_PATH = re.compile(r"/(shorts|embed|live|v)/([^/]+)/?")
YOUTUBE_ID = re.compile(r"[A-Za-z0-9_-]{11}")
INSTAGRAM_HOST = re.compile(r"(?:www\.|m\.)?instagram\.com")
INSTAGRAM_PATH = re.compile(r"/(?:[\w.]+/)?(reels?|p|tv)/([A-Za-z0-9_-]{5,40})/?")
EXPECTED = (
    "expected the like of https://www.tiktok.com/@name/video/7571863205253778710, its id alone, "
    "@name, the address of a sound, or a video of youtube.com or instagram.com"
)


@dataclass(frozen=True)
class Address:
    """What an address or a name means.

    name: the id of a video or a sound, an account's name, a hashtag, or a short link itself. url:
    the address of a video that names nobody; empty for the rest.
    """

    kind: Kind
    name: str
    platform: str = TIKTOK
    url: str = ""


def parse_address(text: str, *, own_host: str = "") -> Address:
    """Read an address, an id, "@name" or "#hashtag"; own_host: the site that is scraped.

    Raises RowRefused, which says what would have been right.
    """
    plain = text.strip().strip("<>\"'").strip()
    if plain.startswith("@"):
        return Address("account", _handle(plain[1:], text))
    if HASHTAG.fullmatch(plain):
        return Address("hashtag", plain[1:].lower())
    if re.fullmatch(r"[0-9.,eE+]+", plain):
        return tiktok_video(read_id(plain, TIKTOK))
    parts = _split(plain, text)
    host = (parts.hostname or "").lower()
    path = unquote(parts.path)
    if host in SHORT_HOSTS and path.strip("/"):
        return Address("short", parts.geturl())
    if SITE_HOST.fullmatch(host) or (own_host and parts.netloc.lower() == own_host):
        return _of_tiktok(parts, path, text)
    if host == "youtu.be":
        return _youtube(path.strip("/"), "watch", text)
    if YOUTUBE_HOST.fullmatch(host):
        return _of_youtube(parts, path, text)
    if INSTAGRAM_HOST.fullmatch(host):
        return _of_instagram(path, text)
    raise RowRefused("unknown_address", f"{shown(plain)} is no address that is known: {EXPECTED}")


def tiktok_video(tiktok_id: str) -> Address:
    """Give the address of a video by its id; the site finds it without its author's name."""
    return Address("video", tiktok_id, url=f"https://www.tiktok.com/@/video/{tiktok_id}")


def read_video(text: str, platform: str | None = None) -> Address:
    """Read a video's address, or its id on a platform (None: tiktok). Raises RowRefused.

    A photo post's address gives its id all the same.
    """
    plain = text.strip()
    if re.search(r"[/.]", plain) is None:
        return Address("video", read_id(plain, platform or TIKTOK), platform or TIKTOK)
    try:
        found = parse_address(plain)
    except RowRefused as refusal:
        if refusal.reason != "photo" or refusal.tiktok_id is None:
            raise
        return tiktok_video(refusal.tiktok_id)
    if found.kind == "short":
        words = f"{shown(plain)} is a short link: open it, and give the address that it leads to"
        raise RowRefused("short_link", words)
    if found.kind != "video":
        words = f"{shown(plain)} is no video's address but that of: {found.kind}"
        raise RowRefused("unknown_address", words)
    return found


def read_account_name(text: str) -> str:
    """Read an account's name, with or without '@', or its address. Raises RowRefused."""
    plain = text.strip()
    if HANDLE.fullmatch(plain) and "/" not in plain:
        return plain
    found = parse_address(plain)
    if found.kind != "account":
        raise RowRefused("unknown_address", f"{shown(plain)} is no account: expected @name")
    return found.name


def read_sound_id(text: str) -> str:
    """Read a sound's id, or its address. Raises RowRefused."""
    plain = text.strip()
    if SOUND_ID.fullmatch(plain):
        return plain
    found = parse_address(plain)
    if found.kind != "sound":
        raise RowRefused("unknown_address", f"{shown(plain)} is no sound: expected its id")
    return found.name


def _split(plain: str, text: str) -> SplitResult:
    has_scheme = re.match(r"[a-z][a-z0-9+.-]*://", plain, re.IGNORECASE)
    try:
        parts = urlsplit(plain if has_scheme else f"https://{plain}")
    except ValueError as error:
        raise RowRefused("unknown_address", f"{shown(text)} is no address: {error}") from error
    if parts.scheme not in ("http", "https") or " " in plain or "." not in parts.netloc:
        raise RowRefused("unknown_address", f"{shown(plain)} is no address: {EXPECTED}")
    return parts


def _of_tiktok(parts: SplitResult, path: str, text: str) -> Address:
    for pattern in VIDEO_PATHS:
        if match := pattern.fullmatch(path):
            tiktok_id = read_id(match["id"], TIKTOK)
            if match.groupdict().get("kind") == "photo":
                words = f"{shown(text.strip())} is a photo post's: it has no video"
                raise RowRefused("photo", words, tiktok_id)
            return tiktok_video(tiktok_id)
    if SHORT_PATH.fullmatch(path):
        return Address("short", parts.geturl())
    if match := SOUND_PATH.fullmatch(path):
        return Address("sound", match[1])
    if match := ACCOUNT_PATH.fullmatch(path):
        return Address("account", _handle(match[1], text))
    if match := HASHTAG_PATH.fullmatch(path):
        return Address("hashtag", match[1].lower())
    for name in ("item_id", "share_item_id"):
        for given in parse_qs(parts.query).get(name, ()):
            if page_id(given):
                return tiktok_video(given)
    raise RowRefused("unknown_address", f"{shown(text.strip())} names no video: {EXPECTED}")


def _of_youtube(parts: SplitResult, path: str, text: str) -> Address:
    if path.rstrip("/") == "/watch":
        return _youtube(parse_qs(parts.query).get("v", [""])[0], "watch", text)
    if match := YOUTUBE_PATH.fullmatch(path):
        return _youtube(match[2], match[1], text)
    words = "expected https://www.youtube.com/watch?v=… or /shorts/…"
    raise RowRefused("unknown_address", f"{shown(text.strip())} names no video: {words}")


def _youtube(name: str, kind: str, text: str) -> Address:
    if YOUTUBE_ID.fullmatch(name) is None:
        raise RowRefused("bad_id", f"{shown(text.strip())}: a video of YouTube has 11 characters")
    page = f"shorts/{name}" if kind == "shorts" else f"watch?v={name}"
    return Address("video", name, "youtube", f"https://www.youtube.com/{page}")


def _of_instagram(path: str, text: str) -> Address:
    match = INSTAGRAM_PATH.fullmatch(path)
    if match is None:
        words = "expected https://www.instagram.com/reel/…"
        raise RowRefused("unknown_address", f"{shown(text.strip())} names no video: {words}")
    kind = "p" if match[1] == "p" else "reel"
    return Address("video", match[2], "instagram", f"https://www.instagram.com/{kind}/{match[2]}/")


def _handle(name: str, text: str) -> str:
    if HANDLE.fullmatch(name) is None:
        raise RowRefused(
            "unknown_address", f"{shown(text.strip())} is no account: expected the like of @name"
        )
    return name
