import math
from dataclasses import replace
from itertools import pairwise

import pytest

from scraper.replica.content import ReplicaConfig, build_content
from scraper.replica.growth import LAST_VANISHING_DAY, Timeline, vanishing_day
from scraper.replica.site import Site


@pytest.fixture(scope="module")
def many():
    return build_content(ReplicaConfig(videos_per_tag=100))


@pytest.fixture
def at(many):
    return lambda day: Timeline(many, lambda: day)


def test_on_day_0_everything_is_as_planted(many, at):
    for name, videos in many.by_tag.items():
        assert at(0.0).listed(name) == at(-1.0).listed(name) == videos


def test_a_count_depends_on_the_day_alone(many, at):
    in_order, at_once = Timeline(many, iter([1.0, 5.0, 20.0]).__next__), at(20.0)
    last = [in_order.listed("sports") for _ in range(3)][-1]
    assert last == at_once.listed("sports")


def test_counts_grow_ever_slower(many, at):
    def total(day):
        timeline = at(day)
        stays = [v for v in many.videos if vanishing_day(v) is None]
        return sum(timeline.video(v.tiktok_id).views for v in stays)

    early, late = total(5.0) - total(0.0), total(45.0) - total(40.0)
    assert early > 10 * abs(late)
    assert total(0.0) * 1.1 < total(40.0) < total(0.0) * 2


def test_two_daily_steps_in_a_hundred_fall_a_little(many):
    videos = [v for v in many.videos if vanishing_day(v) is None]
    days = [Timeline(many, lambda day=day: day) for day in range(31)]
    courses = [[day.video(v.tiktok_id).views for day in days] for v in videos]
    steps = [(b - a) / a for course in courses for a, b in pairwise(course)]
    falls = [step for step in steps if step < 0]
    assert 0.015 < len(falls) / len(steps) < 0.025
    assert all(-0.031 < step < -0.009 for step in falls)


def test_a_count_changes_within_a_day(many, at):
    number = many.videos[0].tiktok_id
    early, noon, late = (at(day).video(number).views for day in (1.0, 1.5, 2.0))
    assert noon == pytest.approx((early + late) / 2, abs=1)


def test_a_few_videos_vanish_each_on_its_day(many, at):
    gone = {v.tiktok_id: day for v in many.videos if (day := vanishing_day(v)) is not None}
    assert 0.025 < len(gone) / len(many.videos) < 0.055
    assert 1 <= min(gone.values()) < max(gone.values()) <= LAST_VANISHING_DAY
    for number, day in list(gone.items())[:5]:
        assert at(math.nextafter(day, 0)).video(number) is not None
        assert at(day).video(number) is None
    last = at(float(LAST_VANISHING_DAY))
    left = {v.tiktok_id for name in many.by_tag for v in last.listed(name)}
    assert left == {v.tiktok_id for v in many.videos} - set(gone)
    assert last.video("1") is None


@pytest.fixture
def days():
    return [0.0]


@pytest.fixture
def older(visitor, days, media_folder):
    """The site on days[0], as its visitor sees it."""
    visitor.site = Site(visitor.site.content, media_folder, days=lambda: days[0])
    return visitor


def test_the_site_shows_the_counts_of_its_day(older, days):
    before = {item["id"]: item["stats"]["playCount"] for item in older.items()}
    days[0] = 10.0
    after = {item["id"]: item["stats"]["playCount"] for item in older.items()}
    assert sum(after[number] > before[number] for number in after.keys() & before.keys()) > 15
    video = older.site.timeline.video(next(iter(after)))
    assert video.views > 0
    assert replace(video, views=0) == replace(older.site.content.by_id[video.tiktok_id], views=0)


@pytest.mark.ffmpeg
def test_a_video_that_vanished_is_gone_everywhere(older, days):
    gone = [v for v in older.listed if vanishing_day(v) is not None]
    video = min(gone, key=lambda v: v.duration_s * v.width_px)
    file = older.struct(video)["video"]["playAddr"].removeprefix("http://replica.test")
    days[0] = float(LAST_VANISHING_DAY)
    detail = older.scope(older.video(video))["webapp.video-detail"]
    assert (detail["statusCode"], "itemInfo" in detail) == (10204, False)
    assert older.site.answer(older.ask(file.partition("?")[0])).status == 403
    ids = {item["id"] for cursor in (0, 30, 60) for item in older.items(cursor)}
    assert ids == {v.tiktok_id for v in older.listed} - {v.tiktok_id for v in gone}
    page = older.site.answer(older.ask(f"/@{video.handle}")).body.decode()
    assert video.tiktok_id not in page
