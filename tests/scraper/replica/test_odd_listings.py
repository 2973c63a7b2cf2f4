import json
import re

import pytest


def walk(visitor, most=10):
    """Ids by part, as a page asks that follows each reply's cursor."""
    parts, cursor = [], 0
    while len(parts) < most:
        answer = json.loads(visitor.part(cursor).body)
        parts.append([item["id"] for item in answer.get("itemList", [])])
        cursor = int(answer["cursor"])
        if not answer["hasMore"]:
            break
    return parts


def test_a_part_comes_twice_and_nothing_is_missing(visitor):
    first, second, third = walk(visitor)
    visitor.site.set_fault("sports", "repeated_page")
    assert walk(visitor) == [first, first, second, third]
    visitor.site.set_fault("sports", "repeated_page:2")
    assert walk(visitor) == [first, second, second, third]


def test_there_is_always_more_and_never_anything_new(visitor):
    first, second, _ = walk(visitor)
    visitor.site.set_fault("sports", "endless_more")
    assert walk(visitor) == [first] * 10
    visitor.site.set_fault("sports", "endless_more:2")
    assert walk(visitor) == [first, second] + [second] * 8


def test_json_is_nested_deeper_than_a_reader_can_follow(visitor):
    visitor.site.set_fault("sports", "deep_json")
    assert walk(visitor, most=1)
    text = visitor.part(30).body.decode()
    assert text.count("[") == text.count("]") == 100_000
    with pytest.raises(RecursionError):
        json.loads(text)


def test_a_page_may_draw_from_a_script_of_its_own(visitor):
    ids = [v.tiktok_id for v in visitor.listed]
    visitor.site.set_fault("sports", "dom_only")
    page = visitor.page()
    scope = visitor.scope(page)
    assert scope["webapp.page-context"]["cardVariant"] == "A"
    assert not any(number in json.dumps(scope) for number in ids)
    listed = re.search(rb"window\.__LISTED__ = (.*?);</script>", page.body)[1]
    assert [item["id"] for item in json.loads(listed)] == ids


def test_a_page_may_bring_the_listing_in_its_data(visitor):
    ids = [v.tiktok_id for v in visitor.listed]
    visitor.site.set_fault("sports", "hydration_only")
    page = visitor.page()
    assert [item["id"] for item in visitor.scope(page)["webapp.updated-items"]] == ids
    assert b"__LISTED__ =" not in page.body
