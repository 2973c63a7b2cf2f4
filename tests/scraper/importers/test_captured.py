import base64
import json
from datetime import UTC, datetime

import pytest

from scraper.errors import ImportRefused
from scraper.importers import captured, json_rows
from scraper.importers.reading import read_path, sniff
from scraper.importers.video import ImportOptions
from scraper.replica.content import ReplicaConfig, build_content
from scraper.replica.items import show_count
from scraper.replica.site import ReplicaSite
from tests.scraper.importers.rows import WRITTEN_AT, aweme, tiktok_id, web_item

USER = {"user": {"uniqueId": "author0", "verified": True}, "stats": {"followerCount": 5}}


def scope(**parts):
    return {"__DEFAULT_SCOPE__": {"webapp.app-context": {"user": None}, **parts}}


def page(state=None, body="", script="__UNIVERSAL_DATA_FOR_REHYDRATION__"):
    text = json.dumps(state).replace("<", "\\u003c")
    data = f'<script id="{script}" type="application/json">{text}</script>' if state else ""
    return (
        f"<!DOCTYPE html><html><head><title>A page</title></head><body>{body}{data}</body></html>"
    )


def card(n, views="1.2M", box="user-post-item", caption=""):
    count = f'<strong data-e2e="video-views">{views}</strong>' if views else ""
    title = f'<div data-e2e="{box}-desc"><a title="{caption}">x</a></div>' if caption else ""
    return (
        f'<div><div data-e2e="{box}"><div><a href="/@author{n}/video/{tiktok_id(n)}">'
        f'<img alt="names of people">{count}</a></div></div>{title}</div>'
    )


def test_a_saved_video_page_is_read_by_the_reader_of_refresh(files):
    detail = {"itemInfo": {"itemStruct": web_item()}, "statusCode": 0}
    [video], [] = files.read("a.html", page(scope(**{"webapp.video-detail": detail})))

    found = video.sighting
    assert (found.tiktok_id, found.views_k, found.handle) == (tiktok_id(), 1776.621, "author0")
    assert (found.observed_at, video.is_time_stated) == (WRITTEN_AT, False)
    assert sniff(files.folder / "a.html") == "page"


@pytest.mark.parametrize("n_in_state", [0, 30])
def test_a_saved_profile_page_gives_all_its_cards(files, n_in_state):
    state = scope(
        **{
            "webapp.user-detail": {"userInfo": USER},
            "webapp.updated-items": [web_item(n) for n in range(n_in_state)],
        }
    )
    html = page(state, "".join(card(n) for n in range(921)))
    videos, [] = files.read("a.html", html)

    by_id = {video.sighting.tiktok_id: video.sighting for video in videos}
    assert len(videos) == len(by_id) == 921
    # The count of the JSON, where it is there; else the card's.
    assert [by_id[tiktok_id(n)].views_k for n in range(n_in_state)] == [1776.621] * n_in_state
    assert by_id[tiktok_id(900)].views_k == 1_200.0
    assert by_id[tiktok_id(900)].step_k == 100.0


def test_a_card_of_the_pages_account_has_its_counts(files):
    html = page(scope(**{"webapp.user-detail": {"userInfo": USER}}), card(0) + card(1))
    [own, other], [] = files.read("a.html", html)

    assert (own.sighting.account.n_followers, own.sighting.account.is_verified) == (5, True)
    assert other.sighting.account is None


def test_a_saved_profile_page_of_the_replica_gives_all_its_videos(files, tmp_path):
    one = ReplicaConfig(videos_per_tag=921, n_accounts=1, topics=("Sports",))
    site = ReplicaSite(build_content(one), tmp_path / "replica", clock=lambda: 1_795_000_000.0)
    handle = site.content.accounts[0].handle
    html = site.saved_account_page(handle)
    videos = {video.tiktok_id: video for video in site.content.by_handle[handle]}
    found, rejects = files.read("a.html", html)

    assert (len(found), rejects) == (921, [])
    shown = {video.sighting.tiktok_id: video.sighting for video in found}
    assert {n: seen.display_text for n, seen in shown.items()} == {
        n: show_count(video.views) for n, video in videos.items()
    }
    assert {seen.handle for seen in shown.values()} == {handle}
    assert len({seen.account for seen in shown.values()}) == 1
    assert found[0].sighting.account.n_followers > 0
    assert found[0].sighting.caption == videos[found[0].sighting.tiktok_id].caption


def test_a_tag_page_has_captions_and_cards_without_counts(files):
    cards = card(0, caption="one #a", box="challenge-item") + card(1, None, "challenge-item")
    photo = card(2).replace("/video/", "/photo/")
    nowhere = '<div data-e2e="user-post-item"><a href="/x">y</a></div>'
    [video], rejects = files.read("a.html", page(body=cards + photo + nowhere))

    assert (video.sighting.caption, video.sighting.hashtags) == ("one #a", ("a",))
    assert sorted(row.reason for row in rejects) == ["no_count", "no_link", "photo"]


@pytest.mark.parametrize("script", ["SIGI_STATE", "__NEXT_DATA__"])
def test_older_pages_have_their_state_elsewhere(files, script):
    states = {
        "SIGI_STATE": {"ItemModule": {tiktok_id(): {**web_item(), "author": "author0"}}},
        "__NEXT_DATA__": {"props": {"pageProps": {"itemInfo": {"itemStruct": web_item()}}}},
    }
    [video], [] = files.read("a.html", page(states[script], script=script))

    assert (video.sighting.tiktok_id, video.sighting.handle) == (tiktok_id(), "author0")


@pytest.mark.parametrize("name", ["['SIGI_STATE']=", '["SIGI_STATE"] = ', ".SIGI_STATE ="])
def test_the_oldest_of_them_give_it_a_name_in_a_script(files, name):
    state = json.dumps({"ItemModule": {tiktok_id(): web_item()}})
    html = page(body=f"<script>window{name}{state};window['SIGI_RETRY']={{}};</script>")
    [video], [] = files.read("a.htm", html)

    assert video.sighting.tiktok_id == tiktok_id()


def test_a_page_in_one_file_says_when_it_was_saved(files):
    html = page(scope(**{"webapp.updated-items": [web_item()]}))
    text = (
        "From: <Saved by Blink>\r\nSnapshot-Content-Location: https://www.tiktok.com/@a\r\n"
        "Date: Tue, 25 Nov 2025 10:00:00 +0000\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/related; type="text/html"; boundary="----b"\r\n\r\n------b\r\n'
        "Content-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        f"{base64.encodebytes(html.encode()).decode()}\r\n------b--\r\n"
    )
    [video], [] = files.read("a.mhtml", text)

    assert sniff(files.folder / "a.mhtml") == "page"
    assert video.sighting.observed_at == datetime(2025, 11, 25, 10, tzinfo=UTC)
    assert video.is_time_stated


@pytest.mark.parametrize(
    ("html", "said"),
    [
        ("<html><head><title>Access Denied</title></head><body>x</body></html>", "forbidden"),
        ('<html><body>x<div id="tiktok-verify-ele"></div></body></html>', "captcha"),
        ("<html><body></body></html>", "nothing in it"),
        ("<!DOCTYPE html><title>My cats</title><p>hello", "without hydration data"),
        (page(scope()), "without a video"),
        (page(scope(**{"webapp.user-detail": {"userInfo": USER}})), "without a video"),
    ],
)
def test_a_page_without_videos_says_why(files, html, said):
    path = files.write("a.html", html)
    with pytest.raises(ImportRefused, match=said):
        list(read_path(path, ImportOptions()))


def test_a_page_without_end_is_refused(files, monkeypatch):
    monkeypatch.setattr(captured, "MAX_PAGE_BYTES", 1_000)
    path = files.write("a.html", "<html>" + "x" * 1_000)
    with pytest.raises(ImportRefused, match="no single page"):
        list(read_path(path, ImportOptions()))


def entry(content, when="2025-11-25T10:00:00.123Z", mime="application/json", **more):
    text = content if isinstance(content, str) else json.dumps(content)
    return {
        "startedDateTime": when,
        "request": {"method": "GET", "url": "https://www.tiktok.com/api/x/"},
        "response": {"status": 200, "content": {"mimeType": mime, "text": text, **more}},
    }


def har(*entries):
    return {"log": {"version": "1.2", "creator": {"name": "a browser"}, "entries": entries}}


def test_a_recorded_visit_gives_the_videos_of_all_its_answers(files):
    packed = base64.b64encode(json.dumps({"itemList": [web_item(1)]}).encode()).decode()
    found = har(
        entry({"itemList": [web_item(0)], "hasMore": True}),
        entry(packed, encoding="base64"),
        entry({"data": [{"type": 1, "item": web_item(2)}]}),
        entry(page(scope(**{"webapp.updated-items": [web_item(3)]})), mime="text/html"),
        entry({"aweme_list": [aweme(4)]}),
        entry({"comments": [{"cid": "1", "text": "x"}]}),
        entry({"items": [{"id": "1", "kind": "a setting"}]}),
        entry("var x = 1", mime="text/javascript"),
        entry("{broken"),
        entry("GIF89a", mime="image/gif"),
        {"startedDateTime": "x", "request": {}, "response": {"content": {"size": 5}}},
    )
    videos, [] = files.read("a.har", found)

    assert [video.sighting.tiktok_id for video in videos] == [tiktok_id(n) for n in range(5)]
    assert {video.sighting.observed_at for video in videos} == {
        datetime(2025, 11, 25, 10, 0, 0, 123_000, tzinfo=UTC)
    }
    assert all(video.is_time_stated for video in videos)
    assert sniff(files.folder / "a.har") == "har"


def test_one_video_at_two_moments_is_seen_twice(files):
    later = entry({"itemList": [web_item()]}, when="2025-11-26T10:00:00Z")
    videos, [] = files.read("a.har", har(entry({"itemList": [web_item()]}), later))

    assert len({video.sighting.observed_at for video in videos}) == 2


def test_a_har_without_contents_says_so(files):
    bare = {"startedDateTime": "x", "request": {}, "response": {"content": {"size": 5}}}
    [], [row] = files.read("a.har", har(bare))
    assert "with content" in row.detail

    [], [row] = files.read("b.har", har(entry({"a": 1})))
    assert "no answer of the site" in row.detail


def test_a_media_file_among_the_answers_is_left_aside(files, monkeypatch):
    monkeypatch.setattr(json_rows, "MAX_ROW_BYTES", 20_000)
    large = entry("A" * 50_000, mime="video/mp4", encoding="base64")
    [_], [row] = files.read("a.har", har(large, entry({"itemList": [web_item()]})))

    assert (row.reason, row.is_skip) == ("other_content", True)


@pytest.mark.parametrize("mark", ["id={}", "data-saved=1 id='{}'", 'type="a/b" id="{}" x'])
def test_a_program_that_saves_pages_may_write_marks_its_own_way(files, mark):
    state = {"webapp.video-detail": {"itemInfo": {"itemStruct": web_item()}, "statusCode": 0}}
    script = mark.format("__UNIVERSAL_DATA_FOR_REHYDRATION__")
    html = f"<!DOCTYPE html><script {script}>{json.dumps({'__DEFAULT_SCOPE__': state})}</script>"

    [video], [] = files.read("a.html", html)

    assert video.sighting.tiktok_id == tiktok_id()


def test_singlefile_says_when_it_saved_a_page(files):
    state = {"webapp.video-detail": {"itemInfo": {"itemStruct": web_item()}, "statusCode": 0}}
    script = json.dumps({"__DEFAULT_SCOPE__": state})
    html = (
        "<!DOCTYPE html> <html lang=en><!--\n Page saved with SingleFile \n url: https://x/ \n"
        " saved date: Thu Nov 13 2025 11:06:40 GMT+0100 (Central European Standard Time)\n-->"
        f"<script id=__UNIVERSAL_DATA_FOR_REHYDRATION__>{script}</script>"
    )

    [video], [] = files.read("a.html", html)

    assert video.sighting.observed_at == datetime(2025, 11, 13, 10, 6, 40, tzinfo=UTC)
    assert video.is_time_stated
