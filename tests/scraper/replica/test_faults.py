import json

import pytest

from scraper.errors import UnknownFault
from scraper.replica.faults import FAULTS, make_fault, parse_fault
from scraper.replica.messages import Reply

NAMES = """
empty_body verify_json captcha login_wall login_modal waf_wait no_such_hashtag repeated_page
endless_more missing_keys string_numbers rate_limit forbidden server_error slow endless_body
truncated_mp4 html_as_mp4 png_as_mp4 redirect_file redirect_inner redirect_port expired_url
photo_post ad pinned live_room private removed region_locked huge_caption path_id nul
lone_surrogate nan huge_numbers deep_json script_caption infinite_js alert beforeunload crash
dom_only hydration_only
"""


def test_there_is_a_switch_for_every_known_misfortune():
    assert set(FAULTS) == set(NAMES.split())
    assert all(kind.summary.endswith(".") for kind in FAULTS.values())


@pytest.mark.parametrize("name", NAMES.split())
def test_a_fault_shows_at_its_hashtag_and_nowhere_else(visitor, name):
    def look(hashtag):
        replies = [visitor.page(hashtag), visitor.detail(hashtag)]
        replies += [visitor.part(cursor, hashtag) for cursor in (0, 30, 60, 70)]
        # Without the headers: each visit of the page brings cookies of its own.
        return [(reply.status, reply.body, reply.delay_s) for reply in replies]

    usual = {hashtag: look(hashtag) for hashtag in ("sports", "dance")}
    visitor.site.set_fault("sports", name)
    changed = look("sports") != usual["sports"]
    # Of some only a video's page or file is another one.
    is_of_videos = name in ("region_locked", "expired_url") or name.endswith("_mp4")
    assert changed is not (is_of_videos or name.startswith("redirect_"))
    assert look("dance") == usual["dance"]
    visitor.site.set_fault("sports", None)
    assert look("sports") == usual["sports"]


def test_a_fault_is_written_with_its_numbers(visitor):
    def statuses(text):
        visitor.site.set_fault("sports", text)
        return [visitor.part(cursor).status for cursor in (0, 30, 60)]

    assert statuses("rate_limit") == [200, 429, 429]
    assert dict(visitor.part(30).headers)["Retry-After"] == "1"
    assert statuses("rate_limit:30,after=2") == [200, 200, 429]
    assert dict(visitor.part(60).headers)["Retry-After"] == "30"
    assert statuses("forbidden:1") == [200, 403, 403]
    visitor.site.set_fault("sports", "slow:1.5")
    assert visitor.page().delay_s == 1.5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flood", r"'flood'; there are ad, alert, beforeunload,"),
        ("rate limit", "there is no fault"),
        ("slow:x", "slow takes: it takes delay_s=0.3"),
        ("slow:after=1", "it takes delay_s"),
        ("slow:-1", "it takes delay_s"),
        ("rate_limit:1,2", "it takes retry_after_s=1, after=1"),
        ("login_wall:1", "it takes no number"),
    ],
)
def test_what_is_no_fault_is_told_with_what_there_is(text, message):
    with pytest.raises(UnknownFault, match=message):
        make_fault(text)


def test_a_fault_on_the_command_line_has_a_hashtag(visitor):
    hashtag, fault = parse_fault("#Sports=server_error")
    visitor.site.set_fault(hashtag, fault)
    assert visitor.page().status == 500
    for text in ("server_error", "=server_error", "sports=flood", "#=slow"):
        with pytest.raises(UnknownFault):
            parse_fault(text)


@pytest.mark.ffmpeg
def test_a_function_may_be_a_fault_and_sees_whom_it_concerns(visitor):
    seen = []

    def watch(visit):
        seen.append((visit.place, visit.part, visit.video))
        return Reply(410) if visit.place == "file" else None

    visitor.file(visitor.plain)
    visitor.site.set_fault("sports", watch)
    visitor.page()
    visitor.part(60)
    assert visitor.file(visitor.plain).status == 410
    video = visitor.plain
    assert seen == [
        ("page", 0, None),
        ("listing", 2, None),
        ("video", 0, video),
        ("file", 0, video),
    ]


def test_a_part_of_nonsense_is_no_part(visitor):
    visitor.site.set_fault("sports", "forbidden:1")
    query = {"challengeID": visitor.site.content.config.seed, "cursor": "x"}
    asked = visitor.ask("/api/challenge/item_list/", query=query | {"challengeID": "1"})
    assert json.loads(visitor.site.answer(asked).body)["statusCode"] == 10201
