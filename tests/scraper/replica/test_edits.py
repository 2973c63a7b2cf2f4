import re

import pytest

from scraper.replica.edits import (
    add_script,
    edit_items,
    edit_page,
    edit_struck,
    is_struck,
    whole_listing,
)
from scraper.replica.messages import Reply


@pytest.fixture
def under(visitor):
    """Makes a function the fault of #sports."""
    return lambda fault: visitor.site.set_fault("sports", fault)


def test_one_in_five_is_struck_and_the_first_always():
    assert [is_struck(i) for i in range(6)] == [True, False, False, False, False, True]


@pytest.mark.ffmpeg
def test_an_item_is_edited_where_it_is_listed_and_on_its_own_page(visitor, under):
    under(lambda visit: edit_items(visit, lambda item, i: item.update(desc=f"number {i}")))
    assert [item["desc"] for item in visitor.items(30)] == [f"number {i}" for i in range(30, 60)]
    position = visitor.listed.index(visitor.plain)
    assert visitor.struct(visitor.plain)["desc"] == f"number {position}"
    assert visitor.page().status == 200


@pytest.mark.ffmpeg
def test_struck_items_are_counted_among_themselves(visitor, under):
    under(lambda visit: edit_struck(visit, lambda item, n: item.update(desc=f"odd {n}")))
    odd = [item["desc"] for item in visitor.items() if item["desc"].startswith("odd")]
    assert odd == [f"odd {n}" for n in range(6)]
    assert visitor.struct(visitor.odd)["desc"].startswith("odd")
    assert visitor.struct(visitor.plain)["desc"] == visitor.plain.caption


def test_a_script_runs_before_the_pages_own_and_cannot_end_early(visitor):
    page = add_script(visitor.page(), "x = '</script>';")
    assert b"<body><script>x = '<\\/script>';</script><div" in page.body


def test_a_visitor_may_see_the_whole_listing_at_once(visitor, under):
    seen = []

    def watch(visit):
        seen.append([item["id"] for item in whole_listing(visit)])
        return Reply(204)

    under(watch)
    visitor.page()
    assert seen == [[v.tiktok_id for v in visitor.listed]]


def test_the_data_of_a_page_can_be_changed_in_place(visitor):
    def edit(scope):
        scope["webapp.page-context"]["note"] = "</script>\ud83d"
        scope["deep"] = "HERE"

    page = visitor.page()
    edited = edit_page(page, edit, {"HERE": "[[1]]"})
    scope, before = visitor.scope(edited), visitor.scope(page)
    assert scope["webapp.page-context"].pop("note") == "</script>\ud83d"
    assert scope.pop("deep") == [[1]]
    assert scope == before
    assert edited.body.split(b"<script")[0] == page.body.split(b"<script")[0]
    assert re.findall(rb"</script>", edited.body) == re.findall(rb"</script>", page.body)
