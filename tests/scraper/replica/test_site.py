import json
import re
from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

import protego
import pytest

from scraper.replica import items
from scraper.replica.content import TOPICS, ReplicaConfig, build_content
from scraper.replica.items import challenge
from scraper.replica.messages import Reply, object_key
from scraper.replica.site import ReplicaSite, card_variant


@pytest.fixture
def read_visits(content, ask, tmp_path):
    """Asks the site, and gives what a fault of any hashtag is told of the request."""
    seen = []

    def watch(visit):
        seen.append(visit)
        return Reply(204)

    site = ReplicaSite(content, tmp_path, faults=dict.fromkeys(content.by_tag, watch))

    def read(path, **query):
        seen.clear()
        site.answer(ask(path, query=query))
        return seen[0] if seen else None

    return read


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


def test_a_fault_may_ask_for_the_usual_answer_and_for_others(read_visits, ask):
    visit = read_visits("/api/challenge/detail/", challengeName="sports")
    assert json.loads(visit.usual().body)["challengeInfo"]["challenge"]["title"] == "sports"
    assert visit.ask(ask("/robots.txt")).body.startswith(b"User-agent")


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


def test_an_accounts_page_says_what_the_account_counts(site, ask, read_scope):
    account = site.content.videos[0].account
    detail = read_scope(site.answer(ask(f"/@{account.handle}")))["webapp.user-detail"]
    assert detail["statusCode"] == 0
    user, stats = detail["userInfo"]["user"], detail["userInfo"]["stats"]
    assert (user["uniqueId"], user["secUid"]) == (account.handle, account.sec_uid)
    assert stats["followerCount"] == items.round_count(account.followers)
    assert stats["videoCount"] == len(site.content.by_handle[account.handle])
    assert detail["userInfo"]["statsV2"] == {name: str(n) for name, n in stats.items()}


def test_an_account_that_is_not_there_or_private_has_its_status_code(site, ask, read_scope):
    private = site.content.accounts[-1].handle
    for handle, status in (("nobody", 10221), (private, 10222)):
        page = site.answer(ask(f"/@{handle}"))
        assert page.status == 200
        assert read_scope(page)["webapp.user-detail"]["statusCode"] == status


def listed_by(site, ask, path, **query):
    """The parts of a listing, each a list of items."""
    parts, query = [], {"count": "35", "cursor": "0"} | query
    while True:
        part = read(site.answer(ask(path, query=query)))
        parts.append(part.get("itemList", []))
        if not part["hasMore"]:
            return parts
        query["cursor"] = part["cursor"]


def test_an_account_lists_what_is_pinned_and_then_the_newest_first(site, ask):
    account = max(site.content.accounts, key=lambda a: len(site.content.by_handle[a.handle]))
    small = ReplicaSite(replace_page_size(site.content, 4), site._folder)
    parts = listed_by(small, ask, "/api/post/item_list/", secUid=account.sec_uid)
    assert {len(part) for part in parts[:-1]} == {4}
    listed = [item for part in parts for item in part]
    wanted = site.content.by_handle[account.handle]
    assert [item["id"] for item in listed] == [v.tiktok_id for v in wanted]
    pins = [item["isPinnedItem"] for item in listed]
    assert pins == [True, True] + [False] * (len(listed) - 2)
    times = [item["createTime"] for item in listed[2:]]
    assert times == sorted(times, reverse=True)
    assert min(item["createTime"] for item in listed[:2]) < times[0]


def replace_page_size(content, page_size):
    return replace(content, config=replace(content.config, page_size=page_size))


def test_a_sounds_page_and_listing_are_of_the_videos_with_it(site, ask):
    sound = max(site.content.by_sound, key=lambda n: len(site.content.by_sound[n]))
    videos = site.content.by_sound[sound]
    assert site.answer(ask(f"/music/any-words-{sound}")).status == 200
    detail = read(site.answer(ask("/api/music/detail/", query={"musicId": sound})))
    assert detail["musicInfo"]["music"]["id"] == sound
    assert detail["musicInfo"]["stats"]["videoCount"] >= len(videos)
    parts = listed_by(site, ask, "/api/music/item_list/", musicID=sound)
    listed = [item for part in parts for item in part]
    assert [item["id"] for item in listed] == [v.tiktok_id for v in videos]
    assert {item["music"]["id"] for item in listed} == {sound}
    unknown = read(site.answer(ask("/api/music/detail/", query={"musicId": "1"})))
    assert unknown["statusCode"] == items.NO_SUCH_SOUND
    assert "musicInfo" not in unknown


def test_an_item_and_the_page_of_its_author_agree(site, ask, read_scope):
    account = site.content.videos[0].account
    (first, *_), *_ = listed_by(site, ask, "/api/post/item_list/", secUid=account.sec_uid)
    info = read_scope(site.answer(ask(f"/@{account.handle}")))["webapp.user-detail"]["userInfo"]
    assert first["authorStats"] == info["stats"]


def test_a_fault_may_strike_an_account_or_a_sound(site, ask):
    sound, handle = next(iter(site.content.by_sound)), site.content.videos[0].handle
    secret = site.content.videos[0].account.sec_uid
    for subject, query in (
        (f"sound:{sound}", {"musicID": sound}),
        (f"@{handle}", {"secUid": secret}),
    ):
        kind = "music" if subject[0] == "s" else "post"
        site.set_fault(subject, "forbidden")
        asked = ask(f"/api/{kind}/item_list/", query=query)
        assert site.answer(asked).status == 403
        site.set_fault(subject, None)
        assert site.answer(asked).status == 200


def test_a_saved_page_may_be_as_long_as_an_account(tmp_path):
    one = ReplicaConfig(videos_per_tag=921, n_accounts=1, topics=("Sports",))
    site = ReplicaSite(build_content(one), tmp_path)
    account, private = site.content.accounts
    page = site.saved_account_page(account.handle)
    cards = re.findall(r'/video/([0-9]+)"><picture>', page)
    assert len(set(cards)) == len(cards) == 921
    assert 'user-post-item"' not in site.saved_account_page(private.handle)


def test_a_saved_page_has_every_card_with_its_count(site):
    handle = max(site.content.by_handle, key=lambda h: len(site.content.by_handle[h]))
    page = site.saved_account_page(handle)
    videos = site.content.by_handle[handle]
    assert page.count('data-e2e="user-post-item"') == len(videos)
    shown = re.findall(r'data-e2e="video-views"[^>]*>([^<]*)<', page)
    assert shown == [items.show_count(v.views) for v in videos]


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
