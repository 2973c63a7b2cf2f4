import json
import re
from dataclasses import replace

import pytest

from scraper.replica import pages
from scraper.replica.items import item_struct
from scraper.replica.messages import SignedMedia

SHELL = pages.Shell("http://replica.test", "a1b2")
MEDIA = SignedMedia("http://replica.test", "o1", ("http://replica.test/a",), None)


def read_hydration(page):
    found = re.findall(
        r'<script id="__UNIVERSAL_DATA_FOR_REHYDRATION__"[^>]*>(.*?)</script>', page, re.DOTALL
    )
    assert len(found) == 1
    return json.loads(found[0])["__DEFAULT_SCOPE__"]


@pytest.fixture
def show(content):
    def build(video):
        item = item_struct(video, MEDIA, detail=True)
        return pages.video_page(SHELL, video, item, content.videos[1])

    return lambda **changes: build(replace(content.videos[0], **changes))


def test_the_tag_page_is_a_shell_without_videos():
    page = pages.tag_page(SHELL, "sports", variant="B", page_size=30, detail=None)
    scope = read_hydration(page)
    assert '<div id="app"></div>' in page
    assert scope["webapp.app-context"]["language"] == "en"
    assert "webapp.challenge-detail" not in scope
    assert "data-e2e" not in page


def test_the_video_page_has_its_item_in_the_data_and_no_view_count_in_the_markup(show, content):
    page = show()
    struct = read_hydration(page)["webapp.video-detail"]["itemInfo"]["itemStruct"]
    assert struct["id"] == content.videos[0].tiktok_id
    assert "video-views" not in page


def test_every_mark_on_the_video_page_is_there_twice(show):
    page = show()
    for mark in ("like-count", "comment-count", "video-desc", "recommend-list-item-container"):
        assert page.count(f'data-e2e="{mark}"') >= 2
    assert 'data-e2e="undefined-count"' in page
    assert 'id="one-column-item-1"' in page


@pytest.mark.parametrize(
    "caption", ["</script><script>alert(1)</script>", "<!-- & \"'", "\u2028 x"]
)
def test_a_caption_cannot_break_out_of_the_page(show, caption):
    page = show(caption=caption)
    assert "<script>alert" not in page
    item = read_hydration(page)["webapp.video-detail"]["itemInfo"]["itemStruct"]
    assert item["desc"] == caption


def test_a_missing_video_has_a_status_and_no_item():
    detail = read_hydration(pages.missing_video_page(SHELL, "http://replica.test/x", 10204))
    assert detail["webapp.video-detail"]["statusCode"] == 10204
    assert "itemInfo" not in detail["webapp.video-detail"]
