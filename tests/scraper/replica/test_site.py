import json
import re
from urllib.parse import parse_qsl, urlsplit

import protego
import pytest

from scraper.replica.content import TOPICS, ReplicaConfig, build_content
from scraper.replica.messages import Reply, object_key
from scraper.replica.pages import challenge
from scraper.replica.site import HashtagVisits, ReplicaSite, card_variant


@pytest.fixture
def read_visits(content, ask):
    tags = {challenge(name)["id"]: name for name in content.by_tag}
    videos = {object_key(v.tiktok_id): v for v in content.videos}
    visits = HashtagVisits(content, tags, videos)

    def usual(_request):
        return Reply(200, b"usual")

    return lambda path, **query: visits.read(ask(path, query=query), usual)


def test_a_request_is_about_a_hashtag_or_one_of_its_videos(read_visits, content):
    number = challenge("sports")["id"]
    video = content.by_tag["sports"][1]
    for visit, place, seen in (
        (read_visits("/tag/Sports"), "page", None),
        (read_visits("/api/challenge/detail/", challengeName="sports"), "detail", None),
        (read_visits("/api/challenge/item_list/", challengeID=number), "listing", None),
        (read_visits(f"/@/video/{video.tiktok_id}"), "video", video),
        (read_visits(f"/@{video.handle}/photo/{video.tiktok_id}"), "video", video),
        (read_visits(f"/video/tos/replica/x/{object_key(video.tiktok_id)}/"), "file", video),
    ):
        assert (visit.place, visit.hashtag, visit.video) == (place, "sports", seen)
        assert visit.positions[video.tiktok_id] == 1
        assert visit.usual() == visit.ask(visit) == Reply(200, b"usual")


def test_a_videos_hashtag_is_its_first(read_visits, content):
    video = next(v for v in content.videos if len(v.hashtags) > 1)
    assert read_visits(f"/@/video/{video.tiktok_id}").hashtag == video.hashtags[0]


@pytest.mark.parametrize("path", ["/robots.txt", "/@/video/7571863205253778710", "/@x", "/t/x/"])
def test_other_requests_are_about_no_hashtag(read_visits, path):
    assert read_visits(path) is None
    assert read_visits("/api/challenge/item_list/", challengeID="1") is None


@pytest.mark.parametrize(("cursor", "part"), [("0", 0), ("29", 0), ("30", 1), ("x", 0), ("²", 0)])
def test_the_part_follows_from_the_cursor(read_visits, cursor, part):
    number = challenge("sports")["id"]
    assert read_visits("/api/challenge/item_list/", challengeID=number, cursor=cursor).part == part
    assert read_visits("/tag/sports", cursor=cursor).part == 0


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    content = build_content(ReplicaConfig(videos_per_tag=70))
    return ReplicaSite(content, tmp_path_factory.mktemp("media"), clock=lambda: 1_795_000_000.0)


def read(reply):
    assert reply.status == 200
    return json.loads(reply.body)


@pytest.fixture
def challenge_id(site, ask):
    asked = ask("/api/challenge/detail/", query={"challengeName": "sports"})
    return read(site.answer(asked))["challengeInfo"]["challenge"]["id"]


def test_a_listing_comes_in_pages_of_thirty(site, ask, challenge_id):
    ids, cursor, sizes = [], "0", []
    while True:
        query = {"challengeID": challenge_id, "count": "30", "cursor": cursor}
        page = read(site.answer(ask("/api/challenge/item_list/", query=query)))
        sizes.append(len(page["itemList"]))
        ids += [item["id"] for item in page["itemList"]]
        assert isinstance(page["cursor"], str)
        cursor = page["cursor"]
        if not page["hasMore"]:
            break
    assert sizes == [30, 30, 10]
    assert len(set(ids)) == 70
    query["cursor"] = cursor
    assert "itemList" not in read(site.answer(ask("/api/challenge/item_list/", query=query)))


def test_an_unknown_hashtag_is_a_page_and_a_status_code(site, ask):
    assert site.answer(ask("/tag/nonsense")).status == 200
    asked = ask("/api/challenge/detail/", query={"challengeName": "nonsense"})
    assert read(site.answer(asked))["statusCode"] == 10205


@pytest.mark.parametrize("query", [{}, {"challengeID": "1"}, {"challengeID": "own", "cursor": "x"}])
def test_bad_parameters_have_their_status_code(site, ask, challenge_id, query):
    query = {k: challenge_id if v == "own" else v for k, v in query.items()}
    answer = read(site.answer(ask("/api/challenge/item_list/", query=query)))
    assert answer["statusCode"] == 10201


def test_both_kinds_of_card_are_among_the_topics():
    assert {card_variant(names[0]) for names in TOPICS.values()} == {"A", "B"}


def test_a_known_hashtag_without_videos_is_not_unknown(ask, tmp_path):
    empty = ReplicaSite(build_content(ReplicaConfig(topics=("Music",))), tmp_path)
    asked = ask("/api/challenge/detail/", query={"challengeName": "sports"})
    answer = read(empty.answer(asked))
    assert answer["statusCode"] == 0
    assert answer["challengeInfo"]["stats"]["videoCount"] == 0


def test_a_fault_answers_for_its_hashtag_only(ask, tmp_path):
    seen = []

    def fail(request):
        seen.append(request.path)
        return None if request.path.startswith("/tag/") else Reply(429, b"", "text/plain")

    site = ReplicaSite(build_content(ReplicaConfig()), tmp_path, faults={"sports": fail})
    detail = "/api/challenge/detail/"
    assert site.answer(ask("/tag/sports")).status == 200
    assert site.answer(ask(detail, query={"challengeName": "sports"})).status == 429
    assert site.answer(ask(detail, query={"challengeName": "dance"})).status == 200
    assert seen == ["/tag/sports", detail]


@pytest.mark.ffmpeg
@pytest.mark.parametrize("handle", ["", "somebody.else", "own"])
def test_a_video_is_found_by_its_id_whatever_the_handle(site, ask, handle):
    video = min(site.content.videos, key=lambda v: v.duration_s * v.width_px)
    handle = video.handle if handle == "own" else handle
    reply = site.answer(ask(f"/@{handle}/video/{video.tiktok_id}"))
    assert f'"id": "{video.tiktok_id}"'.encode() in reply.body
    assert site.answer(ask(f"/@{handle}/photo/{video.tiktok_id}")).status == 200


@pytest.mark.ffmpeg
def test_a_page_signs_its_media_for_the_cookie_that_it_sets(site, ask):
    video = min(site.content.videos, key=lambda v: v.duration_s * v.width_px)
    reply = site.answer(ask(f"/@/video/{video.tiktok_id}", cookie=""))
    cookies = dict(value.split(";")[0].split("=", 1) for _, value in reply.headers)
    assert set(cookies) == {"tt_chain_token", "ttwid", "tt_csrf_token", "msToken"}
    address = re.search(rb'"playAddr": "([^"]+)"', reply.body)[1].decode()
    parts = urlsplit(address)
    query = dict(parse_qsl(parts.query))
    media = site.answer(ask(parts.path, query=query, cookie=cookies["tt_chain_token"]))
    assert media.status == 200
    assert int(re.search(rb'"DataSize": (\d+)', reply.body)[1]) == media.body.length
    refused = site.answer(ask(parts.path, query=query, cookie="another"))
    assert refused.status == 403
    assert b"<TITLE>Access Denied</TITLE>" in refused.body


def test_a_visitor_keeps_the_cookies_it_has(site, ask):
    headers = site.answer(ask("/tag/sports", cookie="mine")).headers
    assert not any("tt_chain_token" in value for _, value in headers)


def test_a_missing_video_is_a_page_with_a_status(site, ask):
    reply = site.answer(ask("/@x/video/7000000000000000000"))
    assert reply.status == 200
    assert b'"statusCode": 10204' in reply.body


def test_short_links_lead_to_the_video(site, ask):
    video = site.content.videos[0]
    reply = site.answer(ask(f"/t/{object_key(video.tiktok_id)[1:]}/"))
    assert reply.status == 301
    assert f"/@{video.handle}/video/{video.tiktok_id}?" in dict(reply.headers)["Location"]


def test_an_account_shows_its_videos_with_counts(site, ask):
    handle = site.content.videos[0].handle
    page = site.answer(ask(f"/@{handle}")).body.decode()
    assert page.count('data-e2e="video-views"') == len(site.content.by_handle[handle])
    assert site.answer(ask("/@nobody")).status == 404


def test_robots_txt_keeps_robots_from_the_api_and_from_live_streams(site, ask):
    rules = protego.Protego.parse(site.answer(ask("/robots.txt")).body.decode())
    allowed = {
        "/tag/sports": True,
        "/@a/video/1": True,
        "/video/tos/replica/x": True,
        "/api/challenge/item_list/": False,
        "/login": False,
        "/@a/live": False,
    }
    for path, may in allowed.items():
        assert rules.can_fetch(f"http://replica.test{path}", "viewcast") is may, path


@pytest.mark.parametrize("path", ["/", "/tag", "/../etc/passwd", "/video/tos/replica/x/y/"])
def test_what_is_not_there_is_404(site, ask, path):
    assert site.answer(ask(path)).status == 404


def test_only_reading_is_allowed(site, ask):
    assert site.answer(ask("/tag/sports", method="POST")).status == 405
