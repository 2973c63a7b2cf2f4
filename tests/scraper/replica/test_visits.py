import pytest

from scraper.replica.items import challenge
from scraper.replica.media import object_key
from scraper.replica.messages import Reply
from scraper.replica.visits import Visits


@pytest.fixture
def read(content, ask):
    tags = {challenge(name)["id"]: name for name in content.by_tag}
    videos = {object_key(v.tiktok_id): v for v in content.videos}
    visits = Visits(content, tags, videos)

    def usual(_request):
        return Reply(200, b"usual")

    return lambda path, **query: visits.read(ask(path, query=query), usual)


def test_a_request_is_about_a_hashtag_or_one_of_its_videos(read, content):
    number = challenge("sports")["id"]
    video = content.by_tag["sports"][1]
    for visit, place, seen in (
        (read("/tag/Sports"), "page", None),
        (read("/api/challenge/detail/", challengeName="sports"), "detail", None),
        (read("/api/challenge/item_list/", challengeID=number), "listing", None),
        (read(f"/@/video/{video.tiktok_id}"), "video", video),
        (read(f"/@{video.handle}/photo/{video.tiktok_id}"), "video", video),
        (read(f"/video/tos/replica/x/{object_key(video.tiktok_id)}/"), "file", video),
    ):
        assert (visit.place, visit.hashtag, visit.video) == (place, "sports", seen)
        assert visit.positions[video.tiktok_id] == 1
        assert visit.usual() == visit.ask(visit) == Reply(200, b"usual")


def test_a_videos_hashtag_is_its_first(read, content):
    video = next(v for v in content.videos if len(v.hashtags) > 1)
    assert read(f"/@/video/{video.tiktok_id}").hashtag == video.hashtags[0]


@pytest.mark.parametrize("path", ["/robots.txt", "/@/video/7571863205253778710", "/@x", "/t/x/"])
def test_other_requests_are_about_no_hashtag(read, path):
    assert read(path) is None
    assert read("/api/challenge/item_list/", challengeID="1") is None


@pytest.mark.parametrize(("cursor", "part"), [("0", 0), ("29", 0), ("30", 1), ("x", 0), ("²", 0)])
def test_the_part_follows_from_the_cursor(read, cursor, part):
    number = challenge("sports")["id"]
    assert read("/api/challenge/item_list/", challengeID=number, cursor=cursor).part == part
    assert read("/tag/sports", cursor=cursor).part == 0
