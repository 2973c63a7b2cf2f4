import errno
import hashlib
import re
import subprocess
import threading
from collections import namedtuple
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from scraper.errors import (
    BadId,
    BadMedia,
    Blocked,
    DownloadFailed,
    MediaTooLarge,
    NoMedia,
    NoSpace,
    UrlExpired,
)
from scraper.files.download import fetch_media, media_path
from scraper.files.transfer import hold_part
from scraper.items import read_item
from scraper.politeness import Site
from scraper.replica.content import ReplicaConfig
from scraper.replica.server import Replica
from scraper.settings import FetchConfig
from scraper.visit.page import PlayUrl, VideoPage, read_video_page
from tests.programs import HANG_S
from tests.scraper.files.test_media import FAST, PICTURE, make
from tests.scraper.proxies import proxy
from tests.scraper.test_items import VIDEO, item

pytestmark = pytest.mark.ffmpeg

LIMITS = FetchConfig(min_free_gb=0)
NOW = datetime(2026, 11, 23, tzinfo=UTC)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return make(tmp_path_factory.mktemp("clip") / "clip.mp4", *PICTURE, *FAST).read_bytes()


class Store:
    """A place for one file that fails in the way that a test asks for."""

    def __init__(self, content):
        self.content = content
        self.etag = '"1"'
        self.kind = "video/mp4"
        self.cuts = []  # after so many bytes the connection breaks, once each
        self.status = None
        self.retry_after = None
        self.is_chunked = False
        self.location = None
        self.stall = threading.Event()
        self.is_slow = False
        self.seen = []
        self.url = ""

    def answer(self, handler):
        self.seen.append(dict(handler.headers.items()))
        if handler.path == "/robots.txt":
            handler.send_error(404)
            return
        hop = re.fullmatch(r"/hop/([1-9])", handler.path)
        if hop or (self.location and handler.path.startswith("/first")):
            handler.send_response(302)
            handler.send_header("Location", f"{int(hop[1]) - 1}" if hop else self.location)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        if self.status:
            handler.send_response(self.status)
            if self.retry_after:
                handler.send_header("Retry-After", self.retry_after)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        body, status = self.content, 200
        wanted = re.fullmatch(r"bytes=([0-9]+)-", handler.headers.get("Range", ""))
        if wanted and handler.headers.get("If-Range") == self.etag:
            body, status = self.content[int(wanted[1]) :], 206
            if not body:
                handler.send_error(416)
                return
        handler.send_response(status)
        handler.send_header("Content-Type", self.kind)
        handler.send_header("ETag", self.etag)
        if status == 206:
            size = len(self.content)
            handler.send_header("Content-Range", f"bytes {wanted[1]}-{size - 1}/{size}")
        if self.is_chunked:
            handler.close_connection = True
        else:
            handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if self.is_slow:
            handler.wfile.write(body[:100])
            self.stall.wait(HANG_S)
        if self.cuts:
            body = body[: self.cuts.pop(0)]
            handler.close_connection = True
        handler.wfile.write(body)


@pytest.fixture
def store(clip):
    with serving(Store(clip)) as made:
        yield made


@pytest.fixture
def other_store(clip):
    with serving(Store(clip)) as made:
        yield made


@contextmanager
def serving(made):

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            made.answer(self)

        def log_message(self, *_args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        made.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield made
        made.stall.set()
        server.shutdown()
        thread.join()


def fetch(store, folder, *paths, n_bytes=None, limits=LIMITS, duration_s=2, urls=None):
    video = {"duration": duration_s, "width": 144, "height": 256}
    sighting = read_item(item(video=video), source="hydration", observed_at=NOW)
    if urls is None:
        urls = tuple(PlayUrl(store.url + p, "h264", n_bytes) for p in paths or ("/file",))
    return fetch_media(
        VideoPage(VIDEO, store.url, sighting, urls),
        cookies={"tt_chain_token": "abc", "odd": "ü"},
        user_agent="a browser",
        site=Site(store.url),
        folder=folder,
        limits=limits,
    )


def parts(folder):
    return sorted(p.name for p in folder.rglob("*") if p.is_file() and p.suffix != ".mp4")


def test_a_file_goes_where_its_id_says_and_is_described(store, clip, tmp_path):
    media = fetch(store, tmp_path, n_bytes=len(clip))
    assert media.path == tmp_path / VIDEO[-2:] / f"{VIDEO}.mp4"
    assert media.path.read_bytes() == clip
    assert media.sha256 == hashlib.sha256(clip).hexdigest()
    assert (media.n_bytes, media.width_px, media.height_px) == (len(clip), 144, 256)
    assert (media.fps, media.has_audio) == (25.0, False)
    assert media.probe["n_frames"] == 50
    assert parts(tmp_path) == []


def test_it_asks_as_the_visitor_of_the_page(store, tmp_path):
    fetch(store, tmp_path)
    asked = store.seen[-1]
    assert asked["User-Agent"] == "a browser"
    assert asked["Cookie"] == "tt_chain_token=abc"
    assert asked["Referer"] == f"{store.url}/"
    assert asked["Accept-Encoding"] == "identity"


def test_a_file_that_is_here_is_not_asked_for_again(store, tmp_path):
    first = fetch(store, tmp_path)
    n_asked = len(store.seen)
    assert fetch(store, tmp_path) == first
    assert len(store.seen) == n_asked


def test_a_file_that_went_bad_here_is_fetched_again(store, clip, tmp_path):
    media_path(tmp_path, VIDEO).parent.mkdir()
    media_path(tmp_path, VIDEO).write_bytes(clip[:1000])
    assert fetch(store, tmp_path).path.read_bytes() == clip


def test_a_broken_connection_goes_on_where_it_was(store, clip, tmp_path):
    store.cuts = [5_000, 3_000]
    assert fetch(store, tmp_path).path.read_bytes() == clip
    assert [s["Range"] for s in store.seen if "Range" in s] == ["bytes=5000-", "bytes=8000-"]


def test_another_run_goes_on_where_the_last_one_was(store, clip, tmp_path):
    store.cuts = [5_000, 0, 0]
    with pytest.raises(DownloadFailed):
        fetch(store, tmp_path)
    assert parts(tmp_path) == [f"{VIDEO}.mp4.etag", f"{VIDEO}.mp4.part"]
    assert fetch(store, tmp_path).path.read_bytes() == clip
    assert store.seen[-1]["Range"] == "bytes=5000-"
    assert parts(tmp_path) == []


def test_parts_of_two_versions_are_never_joined(store, clip, tmp_path):
    store.cuts = [5_000, 0, 0]
    store.content = b"x" * len(clip)
    with pytest.raises(DownloadFailed):
        fetch(store, tmp_path)
    store.content, store.etag = clip, '"2"'
    assert fetch(store, tmp_path).path.read_bytes() == clip


@pytest.mark.parametrize("etag", ['W/"1"', ""])
def test_a_part_that_no_strong_etag_vouches_for_is_begun_anew(store, clip, tmp_path, etag):
    store.etag, store.cuts = etag, [5_000]
    assert fetch(store, tmp_path).path.read_bytes() == clip
    assert not [s for s in store.seen if "Range" in s]


def test_a_part_that_is_longer_than_the_file_is_begun_anew(store, clip, tmp_path):
    media_path(tmp_path, VIDEO).parent.mkdir()
    store_part = media_path(tmp_path, VIDEO).with_suffix(".mp4.part")
    store_part.write_bytes(clip + b"more")
    store_part.with_suffix(".etag").write_text(store.etag)
    assert fetch(store, tmp_path, n_bytes=len(clip)).path.read_bytes() == clip


def test_the_next_address_is_tried_when_one_refuses(store, clip, tmp_path):
    store.location = "/file"
    media = fetch(store, tmp_path, "/first", "/file")
    assert media.n_bytes == len(clip)


@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_refusal_is_told_with_its_status(store, tmp_path, status):
    store.status = status
    with pytest.raises(DownloadFailed, match=str(status)):
        fetch(store, tmp_path)


@pytest.mark.parametrize("status", [403, 410])
def test_an_address_that_is_over_is_told_from_other_refusals(store, tmp_path, status):
    store.status = status
    with pytest.raises(UrlExpired, match=str(status)):
        fetch(store, tmp_path)


@pytest.mark.parametrize("status", [429, 503])
def test_a_store_that_has_too_much_of_us_says_for_how_long(store, tmp_path, status):
    store.status, store.retry_after = status, "30"
    with pytest.raises(Blocked) as refused:
        fetch(store, tmp_path)
    assert (refused.value.mark, refused.value.retry_after_s) == ("rate_limited", 30.0)


def test_a_page_without_an_address_has_no_media(store, tmp_path):
    with pytest.raises(NoMedia, match="no address"):
        fetch(store, tmp_path, urls=())


def test_a_file_that_another_process_is_fetching_is_left_to_it(store, tmp_path):
    target = media_path(tmp_path, VIDEO)
    target.parent.mkdir()
    with hold_part(target), pytest.raises(DownloadFailed, match="another process"):
        fetch(store, tmp_path)


def test_a_disk_that_fills_up_is_told_from_a_bad_file(store, tmp_path, monkeypatch):
    def full(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("scraper.files.transfer.os.fsync", full)
    with pytest.raises(NoSpace, match="No space left"):
        fetch(store, tmp_path)


def test_the_disk_is_looked_at_while_a_file_comes(store, tmp_path, monkeypatch):
    store.is_chunked = True
    free = iter([10**12] + [0] * 9)
    usage = namedtuple("usage", "free")
    monkeypatch.setattr("scraper.files.transfer.SPACE_EVERY_BYTES", 1_000)
    monkeypatch.setattr("scraper.files.transfer.shutil.disk_usage", lambda _: usage(next(free)))
    with pytest.raises(NoSpace):
        fetch(store, tmp_path, limits=replace(LIMITS, min_free_gb=1e-9))


def test_a_page_in_place_of_the_file_is_refused(store, tmp_path):
    store.kind = "text/html"
    with pytest.raises(DownloadFailed, match="text/html"):
        fetch(store, tmp_path)
    assert parts(tmp_path) == []


@pytest.mark.parametrize("location", ["http://169.254.169.254/x", "file:///etc/passwd", "http://["])
def test_a_redirect_to_elsewhere_is_not_followed(store, tmp_path, location):
    store.location = location
    with pytest.raises(DownloadFailed):
        fetch(store, tmp_path, "/first")


def test_a_circle_of_redirects_ends(store, tmp_path):
    store.location = "/first"
    with pytest.raises(DownloadFailed, match="redirects"):
        fetch(store, tmp_path, "/first")


def test_three_redirects_are_followed_and_no_fourth(store, clip, tmp_path):
    assert fetch(store, tmp_path / "three", "/hop/3").n_bytes == len(clip)
    store.seen.clear()
    with pytest.raises(DownloadFailed, match="more than 3 redirects"):
        fetch(store, tmp_path / "four", "/hop/4")
    assert len(store.seen) == 5  # robots.txt, the address and three more


class Elsewhere(Site):
    """A site of this machine whose files lie at other hosts too, as a live one's do."""

    def is_allowed_media_url(self, url):
        return url.startswith(("http://localhost:", "http://127.0.0.1:"))


@pytest.mark.parametrize("begins_at_the_site", [True, False])
def test_no_other_host_sees_the_visitors_cookies_whoever_sent_us_there(
    store, other_store, clip, tmp_path, begins_at_the_site
):
    """Two servers, two host names; a browser tells neither what the other may know."""
    site_url = store.url.replace("127.0.0.1", "localhost")
    first, second = site_url, other_store.url
    if not begins_at_the_site:
        first, second = second, first
    store.location = other_store.location = f"{second}/file"
    sighting = read_item(
        item(video={"duration": 2, "width": 144, "height": 256}), source="xhr", observed_at=NOW
    )
    media = fetch_media(
        VideoPage(VIDEO, site_url, sighting, (PlayUrl(f"{first}/first", "h264", len(clip)),)),
        cookies={"tt_chain_token": "abc"},
        user_agent="a browser",
        site=Elsewhere(site_url),
        folder=tmp_path,
        limits=LIMITS,
    )
    assert media.n_bytes == len(clip)
    asked = [seen for seen in store.seen if seen.get("Referer")]
    assert [seen.get("Cookie") for seen in asked] == ["tt_chain_token=abc"]
    assert [seen.get("Cookie") for seen in other_store.seen] == [None]


def test_an_address_elsewhere_is_not_asked(store, tmp_path):
    other = Store(b"")
    other.url = "http://127.0.0.1:9"
    sighting = read_item(item(), source="hydration", observed_at=NOW)
    page = VideoPage(VIDEO, "", sighting, (PlayUrl(other.url, "h264", None),))
    with pytest.raises(DownloadFailed, match="none of its addresses"):
        fetch_media(
            page,
            cookies={},
            user_agent="",
            site=Site(store.url),
            folder=tmp_path,
            limits=LIMITS,
        )


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_file_over_the_limit_is_not_kept(store, clip, tmp_path, is_chunked):
    store.is_chunked = is_chunked
    with pytest.raises(MediaTooLarge):
        fetch(store, tmp_path, limits=replace(LIMITS, max_mb=(len(clip) - 1) / 1e6))
    assert parts(tmp_path) == []


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_file_of_just_the_limit_is_kept(store, clip, tmp_path, is_chunked):
    store.is_chunked = is_chunked
    media = fetch(store, tmp_path, limits=replace(LIMITS, max_mb=len(clip) / 1e6))
    assert media.n_bytes == len(clip)


@pytest.mark.parametrize(("n_spare", "fits"), [(0, True), (-1, False)])
def test_a_file_may_take_the_disk_to_its_limit(store, clip, tmp_path, monkeypatch, n_spare, fits):
    usage = namedtuple("usage", "free")
    free = usage(1_000 + len(clip) + n_spare)
    monkeypatch.setattr("scraper.files.transfer.shutil.disk_usage", lambda _: free)
    limits = replace(LIMITS, min_free_gb=1_000 / 1e9)
    refused = nullcontext() if fits else pytest.raises(NoSpace, match="must stay free")
    with refused:
        fetch(store, tmp_path, limits=limits)
    assert media_path(tmp_path, VIDEO).exists() == fits


def test_the_disk_keeps_its_free_space(store, tmp_path):
    with pytest.raises(NoSpace, match="must stay free"):
        fetch(store, tmp_path, limits=replace(LIMITS, min_free_gb=1e9))


def test_a_trickle_is_left_when_its_time_is_over(store, tmp_path):
    store.is_slow = True
    with pytest.raises(DownloadFailed, match="bytes in"):
        fetch(store, tmp_path, limits=replace(LIMITS, max_s=1e-9))


def test_a_file_of_another_size_than_announced_is_not_kept(store, clip, tmp_path):
    with pytest.raises(BadMedia, match="instead of"):
        fetch(store, tmp_path, n_bytes=len(clip) + 1)
    assert list(tmp_path.rglob("*.*")) == []


def test_a_file_of_another_length_is_not_kept(store, tmp_path):
    with pytest.raises(BadMedia, match="lasts"):
        fetch(store, tmp_path, duration_s=9)
    assert list(tmp_path.rglob("*.*")) == []


def test_a_link_in_the_parts_place_is_not_written_through(store, tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    part = media_path(tmp_path, VIDEO).with_suffix(".mp4.part")
    part.parent.mkdir()
    part.symlink_to(victim)
    fetch(store, tmp_path)
    assert victim.read_bytes() == b"mine"


def test_a_path_is_made_from_a_checked_id_only(tmp_path):
    with pytest.raises(BadId):
        media_path(tmp_path, "../../../etc/passwd")


def test_a_file_of_the_replica_is_fetched_whole(clips, tmp_path):
    with Replica(ReplicaConfig(videos_per_tag=1), clips) as replica:
        video = min(replica.content.videos, key=lambda v: v.duration_s)
        with httpx.Client(trust_env=False, timeout=HANG_S) as visitor:
            url = f"{replica.url}/@/video/{video.tiktok_id}"
            html = visitor.get(url).text
            cookies = dict(visitor.cookies)
        page = read_video_page(html, video.tiktok_id, url, observed_at=NOW)
        site = Site(replica.url)
        media = fetch_media(
            page, cookies=cookies, user_agent="x", site=site, folder=tmp_path, limits=LIMITS
        )
    assert media.duration_s == pytest.approx(video.duration_s, abs=0.2)
    assert (media.width_px, media.height_px) == (video.width_px, video.height_px)
    assert media.has_audio == (video.sound != "none")
    done = subprocess.run(["sha256sum", str(media.path)], capture_output=True, check=True)
    assert done.stdout.decode().split()[0] == media.sha256


def test_a_file_comes_through_the_proxy_as_its_visitor(store, clip, tmp_path):
    with proxy() as through:
        limits = FetchConfig(min_free_gb=0, proxy=through.url.replace("://", "://me:word@"))
        assert fetch(store, tmp_path, limits=limits).path.read_bytes() == clip
    assert through.passed == [f"{store.url}/file"]
    assert through.credentials == ["me:word"]
    assert store.seen[-1]["Cookie"] == "tt_chain_token=abc"
