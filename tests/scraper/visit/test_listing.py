import json
from collections import Counter
from datetime import UTC, datetime

import pytest

from scraper.errors import Blocked, NoSuchAccount, NoSuchHashtag, PageChanged
from scraper.visit.capture import read_look
from scraper.visit.listing import ListingBuilder, Window
from scraper.visit.page import ListingPage
from tests.scraper.test_items import item

CATS = ListingPage("hashtag", "cats")
NOW = datetime(2026, 11, 23, tzinfo=UTC)


def make_id(n):
    return str(7_571_863_205_253_778_000 + n)


def look(items=None, cards=(), more=True, url="/api/challenge/item_list/?", **rest):
    bodies = []
    if items is not None:
        body = {"itemList": [item(id=make_id(n)) for n in items], "hasMore": more}
        bodies = [{"url": url, "status": 200, "body": json.dumps(body)}]
    drawn = [{"href": f"/@a/video/{make_id(n)}", "views": text, "caption": ""} for n, text in cards]
    return read_look({"bodies": bodies, "cards": drawn} | rest)


def build(*looks, limit=100):
    builder = ListingBuilder(CATS, limit)
    for one in looks:
        builder.add(one, observed_at=NOW)
    return builder


def texts(listing):
    return {s.tiktok_id: s.display_text for s in listing.sightings}


def test_each_video_is_listed_once_and_in_page_order():
    builder = build(look([3, 1]), look([1, 2], more=False))
    listing = builder.finish("end", observed_at=NOW)
    assert [s.tiktok_id for s in listing.sightings] == [make_id(n) for n in (3, 1, 2)]
    assert builder.stop_reason == "end"
    assert listing.sources == Counter(xhr=3)


def test_the_limit_cuts_and_stops():
    builder = build(look([1, 2, 3]), limit=2)
    assert builder.stop_reason == "limit"
    assert len(builder.finish("limit", observed_at=NOW).sightings) == 2
    assert build(look([1]), limit=2).stop_reason is None


def test_the_card_says_what_was_displayed_and_the_json_how_much_it_is():
    listing = build(look([1, 2], [(1, "16K")])).finish("end", observed_at=NOW)
    assert texts(listing) == {make_id(1): "16K", make_id(2): "15955"}
    assert {s.views_k for s in listing.sightings} == {15.955}
    assert "card_disagrees" not in listing.sources


def test_a_card_that_contradicts_the_json_is_counted():
    listing = build(look([1], [(1, "2M")])).finish("end", observed_at=NOW)
    assert listing.sources["card_disagrees"] == 1
    assert listing.sightings[0].views_k == 15.955


def test_a_card_helps_where_the_json_has_no_count():
    body = {"itemList": [item(id=make_id(1), stats={"x": 1}, statsV2=...)]}
    bodies = [{"url": "/api/challenge/item_list/", "status": 200, "body": json.dumps(body)}]
    cards = look(cards=[(1, "16K")])
    listing = build(read_look({"bodies": bodies}), cards).finish("end", observed_at=NOW)
    (found,) = listing.sightings
    assert (found.display_text, found.views_k, found.step_k) == ("16K", 16.0, 1.0 / 10)


def test_cards_stand_in_where_no_json_came():
    builder = build(look(cards=[(1, "1.2K"), (2, None)]), limit=1)
    assert builder.stop_reason == "limit"
    listing = builder.finish("stalled", observed_at=NOW)
    assert texts(listing) == {make_id(1): "1.2K"}
    assert listing.sources == Counter(dom=1)
    assert listing.rejected == Counter(no_count=1)


def test_rejected_posts_are_counted_once_and_not_brought_back_by_their_card():
    ad = {"itemList": [item(id=make_id(1), isAd=True), "x"], "hasMore": True}
    body = {"url": "/api/challenge/item_list/", "status": 200, "body": json.dumps(ad)}
    seen = read_look({"bodies": [body, body]})
    builder = build(seen, look(cards=[(1, "1K")]))
    listing = builder.finish("stalled", observed_at=NOW)
    assert listing.sightings == ()
    assert listing.rejected == Counter(ad=1, not_an_item=2)
    assert builder.n_ids == 1


def test_items_of_the_page_itself_are_a_bonus_and_never_an_error():
    scope = {"__DEFAULT_SCOPE__": {"webapp.updated-items": [item(id=make_id(1))]}}
    listing = build(look(hydration=json.dumps(scope)), look(hydration="{")).finish(
        "stalled", observed_at=NOW
    )
    assert listing.sources == Counter(hydration=1)


def test_what_the_replies_say_is_raised():
    detail = {"url": "/api/challenge/detail/", "status": 200, "body": '{"statusCode": 10205}'}
    with pytest.raises(NoSuchHashtag):
        build(read_look({"bodies": [detail]}))
    with pytest.raises(Blocked):
        build(read_look({"bodies": [detail | {"body": ""}]}))


def taken(builder, *looks, is_last=False):
    """What becomes ready after each look, as numbers."""
    found = []
    for one in looks:
        builder.add(one, observed_at=NOW)
        found.append([int(s.tiktok_id) % 1_000 for s in builder.take(observed_at=NOW)])
    if is_last:
        found.append(
            [int(s.tiktok_id) % 1_000 for s in builder.take(observed_at=NOW, is_last=True)]
        )
    return found


def test_what_has_both_halves_is_ready_at_once():
    assert taken(ListingBuilder(CATS, 9), look([1, 2], [(1, "16K"), (2, None)]), look([3])) == [
        [1, 2],
        [],
    ]


def test_a_half_waits_for_one_more_look_and_is_then_all_there_is():
    nothing = look()
    assert taken(ListingBuilder(CATS, 9), look([1]), look(cards=[(1, "16K")])) == [[], [1]]
    assert taken(ListingBuilder(CATS, 9), look([1]), nothing, nothing) == [[], [1], []]
    assert taken(ListingBuilder(CATS, 9), look(cards=[(1, "2K")]), nothing, nothing) == [
        [],
        [1],
        [],
    ]
    assert taken(ListingBuilder(CATS, 9), look([1]), is_last=True) == [[], [1]]


def test_a_card_without_a_count_waits_for_its_json():
    builder = ListingBuilder(CATS, 9)
    assert taken(builder, look(cards=[(1, None)]), look(), look(), look([1])) == [[], [], [], [1]]
    assert build(look(cards=[(1, None)])).finish("end", observed_at=NOW).rejected == {"no_count": 1}


def test_no_more_than_the_limit_is_ever_ready():
    builder = ListingBuilder(CATS, 2)
    assert taken(builder, look([1, 2, 3], [(n, None) for n in (1, 2, 3)]), is_last=True) == [
        [1, 2],
        [],
    ]


def test_what_was_taken_is_what_the_listing_has_in_page_order():
    builder = ListingBuilder(CATS, 9)
    taken(builder, look([1, 2], [(2, None)]), look([3], [(1, "16K"), (4, "2K"), (3, None)]))
    listing = builder.finish("crashed", observed_at=NOW, error=PageChanged("x"))
    assert [int(s.tiktok_id) % 1_000 for s in listing.sightings] == [1, 2, 3, 4]
    assert listing.sources == Counter(xhr=3, dom=1)
    assert listing.summary() == {
        "stop_reason": "crashed",
        "n_videos": 4,
        "sources": {"xhr": 3, "dom": 1},
        "rejected": {},
        "error": "x",
    }


SOMEBODY = ListingPage("account", "somebody")
POSTED_S = 1_700_000_000


def posts(*numbers, pinned=(), more=True, url="/api/post/item_list/"):
    """A part of a listing whose videos were posted so many seconds after the first moment."""
    found = [
        item(id=make_id(n), createTime=POSTED_S + n, isPinnedItem=n in pinned) for n in numbers
    ]
    body = {"itemList": found, "hasMore": more}
    return read_look({"bodies": [{"url": url, "status": 200, "body": json.dumps(body)}]})


def moment(n):
    return datetime.fromtimestamp(POSTED_S + n, UTC)


def listed_in(window, *looks, page=SOMEBODY):
    builder = ListingBuilder(page, 100, window)
    for one in looks:
        builder.add(one, observed_at=NOW)
    listing = builder.finish(builder.stop_reason or "end", observed_at=NOW)
    return [int(s.tiktok_id) % 1_000 for s in listing.sightings], listing


def test_an_account_is_over_where_it_is_older_than_wanted_but_for_what_is_pinned():
    window = Window(since=moment(50), until=moment(90))
    numbers, listing = listed_in(window, posts(3, 95, 80, 60, pinned=(3,)))
    assert numbers == [80, 60]
    assert listing.stop_reason == "end"
    assert listing.rejected == Counter(before_since=1, after_until=1)
    numbers, listing = listed_in(
        window, posts(3, 95, 80, pinned=(3,)), posts(60, 40, 30), posts(20)
    )
    assert (numbers, listing.stop_reason) == ([80, 60], "since")


def test_a_hashtag_is_not_in_the_order_of_time_and_is_only_sifted():
    look_of = posts(10, 80, 20, url="/api/challenge/item_list/", more=False)
    numbers, listing = listed_in(Window(since=moment(50)), look_of, page=CATS)
    assert (numbers, listing.stop_reason) == ([80], "end")


def test_a_card_is_judged_by_its_id_until_its_json_comes():
    told = datetime.fromtimestamp(int(make_id(1)) >> 32, UTC)
    window = Window(until=told)
    numbers, listing = listed_in(window, look(cards=[(1, "1K")]))
    assert (numbers, dict(listing.rejected)) == ([], {"after_until": 1})
    # The JSON says when it was posted; an id only when the upload began.
    numbers, listing = listed_in(window, look(cards=[(1, "16K")]), posts(1))
    assert (numbers, dict(listing.rejected)) == ([1], {})


def test_replies_to_other_requests_of_a_page_are_not_its_listing():
    assert listed_in(Window(), look([1, 2]))[0] == []
    assert listed_in(Window(), posts(1, 2), page=CATS)[0] == []


def test_what_a_page_asks_about_others_says_nothing_of_it():
    detail = {
        "url": "/api/user/detail/?uniqueId=other",
        "status": 200,
        "body": '{"statusCode": 10221}',
    }
    asked = read_look({"bodies": [detail]})
    assert build(asked).n_ids == 0
    with pytest.raises(NoSuchAccount):
        listed_in(Window(), asked)
