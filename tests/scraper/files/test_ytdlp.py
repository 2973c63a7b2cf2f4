import errno
import json
import logging
import subprocess
import sys
import threading
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from scraper.errors import (
    BadMedia,
    BadOption,
    Blocked,
    DownloadFailed,
    ExtraMissing,
    LiveSiteRefused,
    MediaTooLarge,
    NoMedia,
    NoSpace,
    NotAllowed,
    PrivateVideo,
    RegionLocked,
    SiteFailed,
    VideoGone,
    VideoUnavailable,
)
from scraper.files import ytdlp
from scraper.files.transfer import drop_part
from scraper.files.ytdlp import CHILD, Wish, error_of, fetch_with_ytdlp, require_ytdlp
from scraper.politeness import Site
from scraper.replica.content import ReplicaConfig
from scraper.replica.server import Replica
from scraper.settings import FetchConfig
from scraper.visit.cookies import Cookie, for_file
from tests.programs import speaking, wait_until
from tests.scraper.files.test_download import Store, serving
from tests.scraper.files.test_media import FAST, PICTURE, SOUND, make
from tests.scraper.proxies import proxy

READER = Path(__file__).parents[1] / "tiktok_reader.py"
LIMITS = FetchConfig(backend="yt-dlp", min_free_gb=0)
PAGE = "https://video.example/watch/1"


# --- what yt-dlp says, in our words


def told(message="x", *, kinds=("DownloadError", "ExtractorError"), step="page", **more):
    return {"kinds": list(kinds), "message": message, "step": step, "errno": None} | more


def http(status, *, address=PAGE, retry_after="", **more):
    found = told(f"HTTP Error {status}: x", **more)
    return found | {"status": status, "address": address, "retry_after": retry_after}


def wish(url=PAGE, **changes):
    facts = {"duration_s": None, "cookies": "", "user_agent": ""} | changes
    return Wish(**{"platform": "generic", "tiktok_id": "1", "url": url} | facts)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (http(404), VideoGone),
        (http(410), VideoGone),
        (http(404, address="https://api.video.example/v1/item"), VideoUnavailable),
        (http(403), Blocked),
        (http(401), Blocked),
        (http(429), Blocked),
        (http(503, retry_after="7"), Blocked),
        (http(503), SiteFailed),
        (http(500), SiteFailed),
        # An address of a file that is over is none of the site's refusals of us.
        (http(403, step="file"), DownloadFailed),
        (http(404, step="file"), DownloadFailed),
        (http(429, step="file"), Blocked),
        (told(kinds=["DownloadError", "GeoRestrictedError", "ExtractorError"]), RegionLocked),
        (told("The uploader has not made this video available in your country"), RegionLocked),
        (told(kinds=["DownloadError", "UnsupportedError", "ExtractorError"]), DownloadFailed),
        (told("No video formats found!"), NoMedia),
        (told(kinds=["NotOne"]), NoMedia),
        (told("Private video. Sign in if you've been granted access to this video"), PrivateVideo),
        (told("You do not have permission to view this post. Log into an account"), PrivateVideo),
        (told("This video has been removed by the uploader"), VideoGone),
        (told("This video is no longer available because the account has been terminated"),
         VideoGone),
        (told("Sign in to confirm your age. This video may be inappropriate"), VideoUnavailable),
        (told("Your IP address is blocked from accessing this post"), VideoUnavailable),
        (told("Video unavailable"), VideoUnavailable),
        (told("Sign in to confirm you're not a bot"), Blocked),
        (told("TikTok is requiring login for access to this content"), Blocked),
        (told("the site asks for a challenge to be solved"), Blocked),
        (told("Requested format is not available"), DownloadFailed),
        (told("Unable to download webpage: timed out"), DownloadFailed),
        (told(kinds=["TooLarge", "DownloadCancelled"], step="file"), MediaTooLarge),
        (told("unable to write data", errno=errno.ENOSPC, step="file"), NoSpace),
        (told(kinds=["IsLive"]), DownloadFailed),
    ],
)  # fmt: skip
def test_each_error_of_yt_dlps_is_one_of_ours(answer, error):
    assert type(error_of(answer, wish())) is error


@pytest.mark.parametrize(
    ("answer", "mark", "wish_s"),
    [
        (http(429, retry_after="9"), "rate_limited", 9.0),
        (http(403), "forbidden", None),
        (told("Sign in to confirm you're not a bot"), "captcha", None),
        (told("This content requires you to log in"), "login", None),
        (told("the site asks for a challenge to be solved"), "waf", None),
    ],
)
def test_a_refusal_is_known_by_its_mark(answer, mark, wish_s):
    error = error_of(answer, wish())
    assert (error.mark, error.retry_after_s) == (mark, wish_s)


def test_words_are_on_one_line_and_without_yt_dlps_advice():
    said = told("[x] 1: an\nodd page; please report this issue on  https://y.example")
    assert str(error_of(said, wish())) == "generic 1: [x] 1: an odd page"


def test_without_the_extra_the_command_that_helps_is_named(monkeypatch):
    require_ytdlp()
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(ExtraMissing, match=r"pip install 'viewcast\[ytdlp\]'"):
        require_ytdlp()


# --- a file at an address, by yt-dlp's generic reader


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return make(tmp_path_factory.mktemp("clip") / "clip.mp4", *PICTURE, *FAST).read_bytes()


@pytest.fixture
def store(clip):
    with serving(Store(clip)) as made:
        yield made


@pytest.fixture
def target(tmp_path):
    return tmp_path / "generic" / "1.mp4"


def fetch(store, target, *, limits=LIMITS, site=None, **changes):
    asked = wish(f"{store.url}/v.mp4", **changes)
    return fetch_with_ytdlp(asked, target, site or Site(store.url), limits)


def left(target):
    return sorted(path.name for path in target.parent.rglob("*"))


@pytest.mark.ffmpeg
def test_a_file_is_brought_checked_and_described(store, clip, target, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    media = fetch(store, target, duration_s=2.0)
    assert media.path.read_bytes() == clip
    assert (media.width_px, media.height_px, media.fps) == (144, 256, 25.0)
    assert left(target) == ["1.mp4"]
    agents = {said["User-Agent"].partition("/")[0] for said in store.seen[1:]}
    assert agents == {"yt-dlp"}  # nobody is impersonated
    n_asked = len(store.seen)
    assert fetch(store, target) == media
    assert len(store.seen) == n_asked


@pytest.mark.ffmpeg
def test_another_name_is_given_only_where_it_is_set(store, target):
    fetch(store, target, user_agent="a browser")
    assert store.seen[-1]["User-Agent"] == "a browser"


@pytest.mark.ffmpeg
def test_a_file_that_is_no_mp4_keeps_its_own_suffix(store, target, tmp_path):
    webm = ("-c:v", "libvpx", "-deadline", "realtime")
    store.content = make(tmp_path / "known.webm", *PICTURE, *webm).read_bytes()
    store.kind = "video/webm"
    asked = wish(f"{store.url}/v.webm")
    media = fetch_with_ytdlp(asked, target, Site(store.url), LIMITS)
    assert (media.path, media.width_px) == (target.with_suffix(".webm"), 144)
    assert left(target) == ["1.webm"]
    n_asked = len(store.seen)
    assert fetch_with_ytdlp(asked, target, Site(store.url), LIMITS) == media
    assert len(store.seen) == n_asked
    target.with_suffix(".webm").unlink()
    with pytest.raises(DownloadFailed, match="format is not available"):
        fetch_with_ytdlp(asked, target, Site(store.url), replace(LIMITS, format="b[ext=mp4]"))


@pytest.fixture
def stream(tmp_path, monkeypatch):
    """A site on which picture and sound of a video are streams of their own, in small parts."""
    folder = tmp_path / "stream"
    folder.mkdir()
    parts = ("-f", "hls", "-hls_time", "1", "-hls_playlist_type", "vod")
    parts += ("-hls_segment_type", "fmp4", "-master_pl_name", "v.m3u8")
    parts += ("-var_stream_map", "v:0,agroup:a a:0,agroup:a")
    made = ("-map", "0:v", "-map", "1:a", "-c:a", "aac", *FAST[:4], "-g", "25", *parts)
    make(folder / "%v.m3u8", *PICTURE, *SOUND, *made)
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.ffmpeg
def test_picture_and_sound_that_come_apart_are_put_together(stream, target):
    asked = wish(f"{stream}/v.m3u8", duration_s=2.0)
    media = fetch_with_ytdlp(asked, target, Site(stream), LIMITS)
    assert (media.has_audio, media.width_px, media.path) == (True, 144, target)
    assert left(target) == ["1.mp4"]
    target.unlink()
    small = replace(LIMITS, max_mb=0.001)
    with pytest.raises(MediaTooLarge):
        fetch_with_ytdlp(asked, target, Site(stream), small)
    assert left(target) == []


@pytest.mark.parametrize("words", ["b[height", "b[no=such=thing]", "+"])
def test_a_wish_that_yt_dlp_does_not_understand_is_no_videos_fault(store, target, words):
    with pytest.raises(BadOption, match=r"fetch\.format"):
        fetch(store, target, limits=replace(LIMITS, format=words))
    assert left(target) == []


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("import no_such_module", "does not start: .*no_such_module.*viewcast\\[ytdlp\\]"),
        (
            "import sys; sys.path.insert(0, ROOT)\n"
            "from scraper.files import ytdlp_child\n"
            "del ytdlp_child.TikTokBaseIE._solve_challenge_and_set_cookies\n"
            "ytdlp_child.main()",
            "cannot be kept from evading",
        ),
    ],
)
def test_a_yt_dlp_that_is_not_there_or_unknown_is_not_used(
    store, target, tmp_path, monkeypatch, program, words
):
    child = tmp_path / "child.py"
    child.write_text(f"ROOT = {str(READER.parents[2])!r}\n{program}\n")
    monkeypatch.setattr(ytdlp, "CHILD", child)
    with pytest.raises(ExtraMissing, match=words):
        fetch(store, target)
    assert len(store.seen) == 1  # its robots.txt


def test_a_program_that_breaks_is_told_with_its_last_words(store, target, tmp_path, monkeypatch):
    child = tmp_path / "child.py"
    child.write_text("raise SystemExit('no such luck')")
    monkeypatch.setattr(ytdlp, "CHILD", child)
    with pytest.raises(DownloadFailed, match="ended with 1: 'no such luck'"):
        fetch(store, target)
    assert left(target) == []


@pytest.mark.ffmpeg
def test_what_came_is_held_against_what_is_known(store, target):
    with pytest.raises(BadMedia, match=r"2\.0 s instead of 9\.0"):
        fetch(store, target, duration_s=9.0)
    assert left(target) == []


@pytest.mark.parametrize(
    ("status", "retry_after", "error"),
    [(404, None, VideoGone), (403, None, Blocked), (429, "9", Blocked), (500, None, SiteFailed)],
)
def test_a_status_that_is_no_file_is_told(store, target, status, retry_after, error):
    store.status, store.retry_after = status, retry_after
    with pytest.raises(error) as raised:
        fetch(store, target)
    assert getattr(raised.value, "retry_after_s", None) == (9.0 if retry_after else None)
    assert left(target) == []


@pytest.mark.parametrize("is_chunked", [False, True])
def test_more_bytes_than_the_limit_are_not_taken(store, target, is_chunked):
    store.is_chunked = is_chunked
    with pytest.raises(MediaTooLarge):
        fetch(store, target, limits=FetchConfig(max_mb=len(store.content) / 2e6, min_free_gb=0))
    assert left(target) == []


def children(folder):
    """yt-dlp's programs that work below a folder."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        line, cwd = process.info["cmdline"] or (), process.info["cwd"] or ""
        if str(CHILD) in line and cwd.startswith(str(folder)):
            found.append(process.pid)
    return found


def test_a_download_that_takes_too_long_is_ended(store, target):
    store.is_slow = True
    with pytest.raises(DownloadFailed, match="in 6 s"):
        fetch(store, target, limits=FetchConfig(max_s=6.0, min_free_gb=0))
    assert left(target) == []
    assert children(target.parent) == []


def test_a_disk_that_is_nearly_full_is_left_alone(store, target):
    with pytest.raises(NoSpace):
        fetch(store, target, limits=FetchConfig(min_free_gb=1e9))
    assert [path.name for path in target.parent.iterdir()] == []
    assert len(store.seen) == 1  # its robots.txt


def test_what_is_no_video_is_told(store, target):
    store.content, store.kind = b"<html>nothing here</html>", "text/html"
    with pytest.raises(DownloadFailed, match="Unsupported URL"):
        fetch(store, target)


def test_what_robots_forbids_is_not_asked_for(store, target, monkeypatch):
    monkeypatch.setattr(
        store, "answer", lambda handler: _text(handler, b"User-agent: *\nDisallow: /v")
    )
    with pytest.raises(NotAllowed):
        fetch(store, target)


def _text(handler, body):
    assert handler.path == "/robots.txt"
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


@pytest.mark.ffmpeg
def test_cookies_go_to_the_sites_own_host_and_no_other(store, target, caplog):
    caplog.set_level(logging.DEBUG)
    facts = {"with_subdomains": False, "path": "/", "is_secure": False, "expires_s": 0}
    cookies = for_file([Cookie("127.0.0.1", name="sid", value="s3cret", **facts)])
    fetch(store, target, cookies=cookies)
    assert store.seen[-1]["Cookie"] == "sid=s3cret"
    assert not [path for path in target.parent.parent.rglob("*") if "cookie" in path.name]
    target.unlink()
    # The same host by another name is another host.
    elsewhere = Site(store.url.replace("127.0.0.1", "localhost"))
    fetch(store, target, cookies=cookies, site=elsewhere)
    assert "Cookie" not in store.seen[-1]
    assert "s3cret" not in caplog.text + repr(wish(cookies="s3cret"))


@pytest.mark.ffmpeg
@pytest.mark.parametrize("scheme", ["http", "socks5"])
def test_files_come_through_the_proxy(store, target, scheme):
    with proxy(scheme) as through:
        url = through.url.replace("://", "://me:hunter2@") if scheme == "http" else through.url
        fetch(store, target, limits=FetchConfig(proxy=url, min_free_gb=0))
    assert any(store.url.removeprefix("http://") in passed for passed in through.passed)
    if scheme == "http":
        assert set(through.credentials) == {"me:hunter2"}
    target.unlink()
    with pytest.raises(LiveSiteRefused):
        fetch(store, target, limits=FetchConfig(proxy="http://proxy.example:1", min_free_gb=0))


def run_child(folder, **job):
    """The program alone; returns its answer."""
    facts = {
        "url": PAGE, "folder": str(folder), "format": "b", "max_bytes": 10**8, "proxy": "",
        "cookies": "", "user_agent": "", "pause_s": 0.0, "peers": "global",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-I", str(CHILD)],
        input=json.dumps(facts | job).encode(),
        capture_output=True,
        check=True,
        cwd=folder,
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}/v.mp4", "http://localhost:{port}/v.mp4"])
def test_no_address_of_the_world_leads_into_our_network(store, tmp_path, url):
    answer = run_child(tmp_path, url=url.format(port=store.url.rpartition(":")[2]))
    assert "where the site cannot be" in answer["error"]["message"]
    assert store.seen == []


def test_no_file_of_this_machine_is_an_address(tmp_path):
    answer = run_child(tmp_path, url="file:///etc/passwd", peers="any")
    assert "error" in answer
    assert list(tmp_path.iterdir()) == []


CODE = """
import sys
from pathlib import Path
from scraper.politeness import Site
from scraper.settings import FetchConfig
from scraper.files.ytdlp import Wish, fetch_with_ytdlp
url, target = sys.argv[1:]
wish = Wish("generic", "1", url + "/v.mp4", None, "", "")
fetch_with_ytdlp(wish, Path(target), Site(url), FetchConfig(min_free_gb=0))
"""


@pytest.mark.ffmpeg
def test_a_kill_leaves_nothing_that_runs_and_nothing_that_stays(store, target):
    store.is_slow = True
    with speaking(CODE, store.url, str(target)) as program:
        # Its robots.txt, what it is, and the file itself.
        wait_until(lambda: len(store.seen) == 3, program)
        assert children(target.parent)
        program.kill()
    wait_until(lambda: children(target.parent) == [])
    assert not target.exists()
    assert {path.name for path in target.parent.iterdir()} <= {"1.mp4.parts", "1.mp4.lock"}
    store.is_slow = False
    store.stall.set()
    fetch(store, target)
    assert left(target) == ["1.mp4"]


def test_a_part_that_nobody_goes_on_with_is_dropped(target):
    folder = target.with_name("1.mp4.parts")
    folder.mkdir(parents=True)
    (folder / "v.mp4.part").touch()
    drop_part(target)
    assert left(target) == []


# --- a page, by yt-dlp's own reader of the site


@pytest.fixture(scope="module")
def replica(clips):
    with Replica(ReplicaConfig(videos_per_tag=3, topics=("Dance",)), clips) as running:
        yield running


@pytest.fixture
def refused(replica, monkeypatch):
    """The reader turned to the replica; switches a fault of it on, and off afterwards."""
    monkeypatch.setattr(ytdlp, "CHILD", READER)
    yield lambda name: replica.site.set_fault("dance", name)
    replica.site.set_fault("dance", None)


def fetch_page(replica, target, tiktok_id=None):
    site, video = Site(replica.url), replica.content.videos[0]
    tiktok_id = tiktok_id or video.tiktok_id
    asked = wish(site.video_url(tiktok_id), platform="tiktok", tiktok_id=tiktok_id)
    return fetch_with_ytdlp(asked, target, site, LIMITS)


@pytest.mark.ffmpeg
def test_the_sites_page_gives_its_video(replica, refused, target):
    media = fetch_page(replica, target)
    assert media.duration_s == pytest.approx(replica.content.videos[0].duration_s, abs=1.0)
    assert media.has_audio


@pytest.mark.ffmpeg
@pytest.mark.parametrize(
    ("fault", "error", "mark"),
    [
        ("waf_wait", Blocked, "waf"),
        ("rate_limit:7", Blocked, "rate_limited"),
        ("forbidden", Blocked, "forbidden"),
    ],
)
def test_a_refusal_of_the_site_ends_there(replica, refused, target, fault, error, mark):
    refused(fault)
    n_before = len(replica.requests)
    with pytest.raises(error) as raised:
        fetch_page(replica, target)
    assert raised.value.mark == mark
    # A challenge that is not solved is asked for once.
    pages = [r for r in replica.requests[n_before:] if "/video/" in r.path]
    assert len({r.path for r in pages}) == 1
    assert mark != "waf" or len(pages) == 1


def test_a_video_that_is_not_there_is_not_taken_for_deleted(replica, refused, target):
    # What the site's page knows as gone, yt-dlp tells as a block of our address.
    with pytest.raises(VideoUnavailable):
        fetch_page(replica, target, "7571863205253778710")
