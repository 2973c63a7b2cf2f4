import json
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest

from scraper.replica.content import DAY_S, ReplicaConfig, build_content
from scraper.replica.growth import (
    LAST_VANISHING_DAY,
    SLOWING_DAYS,
    Timeline,
    days_since,
    vanishing_day,
    views_at_age,
)
from scraper.replica.items import round_count
from scraper.replica.site import ReplicaSite

SNAPSHOT_AT = datetime(2027, 2, 3, 12, tzinfo=UTC)


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
    visitor.site = ReplicaSite(visitor.site.content, media_folder, days=lambda: days[0])
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


@pytest.fixture(scope="module")
def living():
    """A site on which 40 posts a day come for 40 days."""
    config = ReplicaConfig(videos_per_tag=3, posts_per_day=40, n_days=40, snapshot_at=SNAPSHOT_AT)
    return build_content(config)


def day_of(video):
    return (video.created_at - SNAPSHOT_AT).total_seconds() / DAY_S


def on(content, day):
    return Timeline(content, lambda: day)


def test_new_posts_leave_the_snapshot_as_it_was(living):
    still = build_content(ReplicaConfig(videos_per_tag=3))
    assert living.videos == still.videos
    assert living.pinned == still.pinned
    for name, videos in still.by_tag.items():
        assert on(living, 0.0).listed(name) == videos
    for account in still.accounts:
        shown = on(living, 0.0).posted_by(account.handle)
        assert shown == still.by_handle[account.handle]
        assert on(living, 0.0).account_stats(account).n_posts == len(shown)


def test_so_many_new_posts_come_on_each_day_at_seconds_that_vary(living):
    days = [math.floor(day_of(video)) for video in living.to_come]
    assert np.bincount(days).tolist() == [40] * 40
    assert len({video.created_at for video in living.to_come}) > 1_590
    assert all(video.created_at.microsecond == 0 for video in living.to_come)
    shares = [day_of(video) % 1 for video in living.to_come]
    assert np.histogram(shares, bins=4, range=(0, 1))[0].min() > 320
    again = build_content(replace(living.config, n_days=10))
    assert again.to_come == living.to_come[:400]


def test_a_new_post_is_nowhere_before_its_second_and_everywhere_from_then_on(living):
    for video in living.to_come[::97]:
        own = video.music.is_original
        for day, is_out in ((math.nextafter(day_of(video), 0), False), (day_of(video), True)):
            timeline = on(living, day)
            assert (timeline.video(video.tiktok_id) is not None) is is_out
            for shown in (
                timeline.listed(video.hashtags[0]),
                timeline.posted_by(video.handle),
                timeline.using(video.music.sound_id),
            ):
                assert (video.tiktok_id in {v.tiktok_id for v in shown}) is is_out
            assert timeline.account_stats(video.account).n_posts == len(
                timeline.posted_by(video.handle)
            )
            if own:
                assert (timeline.sound(video.music.sound_id) is not None) is is_out


def test_a_new_post_starts_from_nothing_and_comes_to_its_planted_level(living):
    for video in living.to_come[:200]:
        assert views_at_age(video, -1.0) == views_at_age(video, 0.0) == 0
        least = 0.97**8  # what all of its falls leave
        late = views_at_age(video, 400 * DAY_S)
        assert least * video.views <= late <= video.views
        halves = [age for age in range(1, 60) if views_at_age(video, age * DAY_S / 4) * 2 > late]
        low, high = (math.log(2) * days * 4 for days in SLOWING_DAYS)
        assert low - 1 < halves[0] < high + 2


def test_the_law_of_a_new_post_is_the_count_of_the_site_at_any_moment(living):
    for video in living.to_come[::53]:
        for age_s in (1, 3_600, 86_399.5, 7 * DAY_S + 0.25):
            shown = on(living, day_of(video) + age_s / DAY_S).video(video.tiktok_id)
            if shown is not None:
                assert abs(shown.views - views_at_age(video, age_s)) <= 1 + 1e-6 * video.views


def test_a_new_post_falls_seldom_a_little_and_at_once(living):
    steps = []
    for video in living.to_come:
        course = [views_at_age(video, age * DAY_S) for age in range(60, 90)]
        steps += [b / a for a, b in pairwise(course)]
    falls = [step for step in steps if step < 0.995]
    assert 0.015 < len(falls) / len(steps) < 0.025
    assert all(0.969 < step < 0.992 for step in falls)


def test_the_law_has_no_beginning_of_a_video_of_the_snapshot(living):
    with pytest.raises(ValueError, match="before the snapshot"):
        views_at_age(living.videos[0], DAY_S)


def test_a_few_new_posts_vanish_after_their_day(living):
    gone = [v for v in living.to_come if vanishing_day(v) is not None]
    assert 0.02 < len(gone) / len(living.to_come) < 0.06
    for video in gone[:5]:
        ends = day_of(video) + vanishing_day(video)
        assert on(living, ends - 1e-6).video(video.tiktok_id) is not None
        assert on(living, ends + 1e-6).video(video.tiktok_id) is None


def test_the_sound_of_a_new_post_starts_with_it_alone(living):
    post = max(
        (v for v in living.to_come if v.music.is_original and vanishing_day(v) is None),
        key=lambda v: v.music.n_uses,
    )
    early, late = (on(living, day_of(post) + day).uses(post.music) for day in (0.001, 80.0))
    assert (early, late) == (1, post.music.n_uses)


def test_days_are_told_by_a_clock():
    days = days_since(SNAPSHOT_AT, lambda: (SNAPSHOT_AT + timedelta(hours=36)).timestamp())
    assert days() == 1.5


def test_pages_show_a_new_post_with_its_time_and_count(living, media_folder, ask):
    post = living.to_come[100]
    now_s = [0.0]
    site = ReplicaSite(
        living,
        media_folder,
        clock=lambda: now_s[0],
        days=days_since(SNAPSHOT_AT, lambda: now_s[0]),
    )

    def listed():
        query = {"secUid": post.account.sec_uid, "count": "30", "cursor": "0"}
        body = json.loads(site.answer(ask("/api/post/item_list/", query=query)).body)
        return {item["id"]: item for item in body.get("itemList", ())}

    now_s[0] = post.created_at.timestamp() - 1
    assert post.tiktok_id not in listed()
    assert b"itemStruct" not in site.answer(ask(f"/@/video/{post.tiktok_id}")).body
    now_s[0] = post.created_at.timestamp() + 30 * 3600
    item = listed()[post.tiktok_id]
    assert item["createTime"] == int(post.created_at.timestamp())
    assert item["stats"]["playCount"] == round_count(views_at_age(post, 30 * 3600))
