from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from catalog.console import Silent
from catalog.record.accounts import want_videos
from catalog.record.sightings import store_sightings
from catalog.record.site_days import pause_of
from catalog.schema.forecasts import Judgement, Prediction
from catalog.schema.tables import Video
from catalog.work.runs import record_run
from scraper.errors import Blocked, BrowserFailed, PageChanged, RegionLocked, SitePaused, VideoGone
from scraper.politeness import Site
from scraper.replica.content import ReplicaConfig
from scraper.replica.server import Replica
from scraper.settings import BrowserConfig, RefreshConfig, SiteLimits
from scraper.steps.refresh import Watched, plan_refresh, refresh
from scraper.steps.scrape import ScrapeRequest, add_hashtags, facts_of, scrape
from tests.catalog.factories import add_model, add_split
from tests.fresh_catalog import ask, fresh_catalog
from tests.scraper.steps.fakes import FIRST_ID, Cut, Opener, listing, page_of, sighting
from tests.scraper.visit.test_chromium import members

NOW = datetime.now(UTC)
NOT_WATCHED = Watched()
LONG_AGO = datetime(2025, 11, 23, 10, tzinfo=UTC)
IDS = [str(FIRST_ID + number) for number in range(1, 5)]


@pytest.fixture
def catalog(tmp_path):
    with fresh_catalog(tmp_path) as opened:
        yield opened


@pytest.fixture
def known(catalog):
    """Four videos that #dance listed long ago."""
    found = [sighting(number, "30.5K", observed_at=LONG_AGO) for number in range(1, 5)]
    rows = [facts_of(shown, b"salt") for shown in found]
    with catalog.write() as session:
        store_sightings(session, rows, run_id=None, found_by="dance")


def now(number, text="40K"):
    return sighting(number, text, observed_at=datetime.now(UTC))


def pages(**changes):
    """What each video's own page shows today, by id."""
    found = {key: page_of(now(number)) for number, key in enumerate(IDS, start=1)}
    return found | {IDS[int(key[1:]) - 1]: value for key, value in changes.items()}


def refresh_with(
    catalog,
    answers,
    *,
    opener=None,
    limits=None,
    per_tag=100,
    only_due=False,
    watched=NOT_WATCHED,
    **request,
):
    return refresh(
        catalog,
        Site("http://127.0.0.1:9", limits=limits),
        BrowserConfig(),
        RefreshConfig(per_tag=per_tag, **request),
        salt=b"salt",
        progress=Silent(),
        only_due=only_due,
        watched=watched,
        open_with=opener or Opener(answers),
    )


def counts(catalog):
    """The displayed counts of each video, oldest first, by number."""
    found: dict[int, list[str]] = {}
    rows = ask(
        catalog,
        "SELECT tiktok_id, display_text FROM view_observation"
        " JOIN video ON video.id = video_id ORDER BY video.id, observed_at",
    )
    for tiktok_id, text in rows:
        found.setdefault(int(tiktok_id) - FIRST_ID, []).append(text)
    return found


@pytest.mark.usefixtures("known")
def test_each_known_video_gets_one_more_observation(catalog):
    result = refresh_with(catalog, pages(v2=page_of(now(2, "30.5K")), v3=page_of(now(3, "29K"))))

    assert (result.outcome.status, result.outcome.n_done) == ("ok", 4)
    assert (result.n_observations, result.n_pages, result.n_left) == (4, 4, 0)
    assert counts(catalog) == {
        1: ["30.5K", "40K"],
        2: ["30.5K", "30.5K"],  # that it did not change is known now
        3: ["30.5K", "29K"],  # counts may fall
        4: ["30.5K", "40K"],
    }


@pytest.mark.usefixtures("known")
def test_what_was_observed_is_not_old_any_more(catalog):
    refresh_with(catalog, pages())
    opener = Opener({})

    result = refresh_with(catalog, {}, opener=opener)

    assert (result.outcome.status, result.outcome.n_total, opener.n_opened) == ("ok", 0, 0)


@pytest.mark.usefixtures("known")
def test_a_wanted_video_gets_its_first_count_before_all_others(catalog):
    wanted = str(FIRST_ID + 9)
    with catalog.write() as session:
        want_videos(session, "tiktok", {wanted: f"https://www.tiktok.com/@/video/{wanted}"}, NOW)
        want_videos(session, "youtube", {"inVenTed001": "https://www.youtube.com/x"}, NOW)
    plan = plan_refresh(catalog, RefreshConfig(older_than_h=0.001), NOT_WATCHED)
    assert (plan.n_videos, plan.n_unseen) == (5, 1)

    answers = {wanted: page_of(now(9, "7.1K")), "dance": listing(now(1), now(2), stop="end")}
    result = refresh_with(catalog, answers, per_tag=2, limit=1)

    # Though it came last: neither the limit nor a hashtag's page stood before it.
    assert (result.n_pages, result.n_hashtags, result.n_left) == (1, 1, 2)
    assert counts(catalog)[9] == ["7.1K"]
    assert ask(catalog, "SELECT caption FROM video WHERE tiktok_id = :id", id=wanted) == [
        ("a caption #dance",)
    ]


@pytest.mark.usefixtures("known")
def test_a_wanted_video_that_is_kept_from_us_costs_the_others_nothing(catalog):
    wanted = str(FIRST_ID + 9)
    with catalog.write() as session:
        want_videos(session, "tiktok", {wanted: "https://www.tiktok.com/@/video/x"}, NOW)

    first = refresh_with(catalog, pages() | {wanted: RegionLocked("not here")})
    second = refresh_with(catalog, {})

    assert (first.n_observations, first.outcome.codes) == (4, {"region_locked": 1})
    assert second.outcome.codes == {"paused": 1}


@pytest.mark.usefixtures("known")
def test_a_hashtags_page_comes_first_where_it_shows_many(catalog):
    shown = listing(now(1), now(3), now(9), stop="end")

    result = refresh_with(catalog, pages() | {"dance": shown}, per_tag=4)

    assert (result.n_hashtags, result.n_pages, result.n_observations) == (1, 2, 4)
    assert (result.outcome.n_total, result.outcome.n_done) == (3, 3)
    # A refresh finds nothing new: that is what a scrape is for.
    assert sorted(counts(catalog)) == [1, 2, 3, 4]
    assert ask(catalog, "SELECT listed_at FROM hashtag WHERE name = 'dance'") == [(None,)]


@pytest.mark.usefixtures("known")
def test_a_hashtags_page_that_is_lost_half_way_keeps_what_it_showed(catalog):
    lost = listing(now(1), stop="crashed", error=BrowserFailed("tab crashed"))
    opener = Opener(pages() | {"dance": lost})

    result = refresh_with(catalog, {}, opener=opener, per_tag=4)

    assert result.outcome.codes == {"listing_crashed": 1}
    assert (result.n_observations, result.n_pages, opener.n_opened) == (4, 3, 2)


@pytest.mark.usefixtures("known")
def test_a_video_that_is_gone_keeps_its_history(catalog):
    result = refresh_with(catalog, pages(v2=VideoGone("status 10204")))

    assert (result.outcome.status, result.n_gone, result.n_observations) == ("ok", 1, 3)
    assert counts(catalog)[2] == ["30.5K"]
    assert ask(catalog, "SELECT tiktok_id, gone_reason FROM video WHERE gone_at NOT NULL") == [
        (IDS[1], "status 10204")
    ]
    assert plan_refresh(catalog, RefreshConfig(older_than_h=0), NOT_WATCHED).n_videos == 3


@pytest.mark.usefixtures("known")
def test_a_video_that_is_kept_from_us_is_not_gone_and_not_asked_for_at_once(catalog):
    result = refresh_with(catalog, pages(v1=RegionLocked("status 10231")))

    assert (result.outcome.status, result.outcome.codes) == ("partial", {"region_locked": 1})
    assert ask(catalog, "SELECT count(*) FROM video WHERE gone_at NOT NULL") == [(0,)]
    again = refresh_with(catalog, pages(), limit=1)
    assert (again.outcome.codes, again.n_pages, again.n_left) == ({"paused": 1}, 0, 1)
    with catalog.read() as session:
        until = pause_of(session, "127.0.0.1:9", f"@{IDS[0]}", datetime.now(UTC)).until
    assert until <= datetime.now(UTC) + timedelta(days=1)


@pytest.mark.usefixtures("known")
def test_no_more_pages_than_the_limit_are_opened(catalog):
    first = refresh_with(catalog, pages(), limit=3)
    second = refresh_with(catalog, pages(), limit=3)

    assert (first.n_pages, first.n_left, second.n_pages) == (3, 1, 1)


@pytest.mark.usefixtures("known")
def test_a_refresh_that_was_stopped_goes_on_where_it_was(catalog):
    with pytest.raises(KeyboardInterrupt):
        refresh_with(catalog, pages(v3=KeyboardInterrupt()))
    cut = Cut([now(3)], KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        refresh_with(catalog, pages() | {"dance": cut}, per_tag=1)

    result = refresh_with(catalog, pages())

    assert (result.n_pages, result.n_left) == (1, 0)
    assert {len(texts) for texts in counts(catalog).values()} == {2}


@pytest.mark.usefixtures("known")
def test_refusals_in_a_row_leave_the_site_alone(catalog):
    captcha = Blocked("a captcha", mark="captcha")
    answers = pages(v2=captcha, v3=captcha)

    result = refresh_with(catalog, answers, limits=SiteLimits(blocks_to_stop=2))

    assert result.outcome.codes == {"blocked": 2, "site_paused": 2}
    assert (result.n_observations, result.outcome.exit_code) == (1, 4)
    with pytest.raises(SitePaused):
        refresh_with(catalog, answers)


@pytest.mark.usefixtures("known")
def test_a_hashtag_that_has_refused_is_left_to_the_videos_own_pages(catalog):
    answers = pages() | {"dance": Blocked("403", mark="forbidden")}
    refresh_with(catalog, answers, per_tag=4, limit=1)

    result = refresh_with(catalog, pages(), per_tag=3)

    assert (result.n_hashtags, result.n_pages) == (0, 3)


@pytest.mark.usefixtures("known")
def test_the_days_budget_ends_it_and_the_rest_waits(catalog):
    result = refresh_with(catalog, pages(), limits=SiteLimits(daily_pages=1))

    assert (result.n_pages, result.n_left) == (1, 3)
    assert (result.outcome.exit_code, result.outcome.n_skipped) == (4, 3)


@pytest.mark.usefixtures("known")
def test_a_page_that_cannot_be_read_costs_one_video(catalog):
    result = refresh_with(catalog, pages(v1=PageChanged("no data")))

    assert (result.outcome.codes, result.n_observations) == ({"page_changed": 1}, 3)


@pytest.mark.chromium
def test_the_replicas_counts_are_followed_as_they_grow(catalog, clips, profiles):
    days = [0.0]
    config = BrowserConfig(profile_root=profiles, look_s=1.0)
    replica_config = ReplicaConfig(videos_per_tag=12, topics=("Dance", "Music"))
    with Replica(replica_config, clips, days=lambda: days[0]) as replica:
        site = Site(replica.url)
        add_hashtags(catalog, {"Dance": ["dance"], "Music": ["music"]})
        options = {"salt": b"salt", "progress": Silent()}
        scrape(catalog, site, config, ScrapeRequest(limit=100), **options)
        n_known = ask(catalog, "SELECT count(*) FROM video")[0][0]
        days[0] = 400.0
        n_gone = n_known - len(
            {v.tiktok_id for tag in ("dance", "music") for v in replica.site.timeline.listed(tag)}
        )

        request = RefreshConfig(older_than_h=0)
        result = refresh(catalog, site, config, request, watched=NOT_WATCHED, **options)

    assert result.n_hashtags == 2
    assert (result.n_gone, result.n_pages) == (n_gone, n_gone)
    assert result.n_observations == n_known - n_gone
    changed = ask(
        catalog,
        "SELECT count(*) FROM view_observation a JOIN view_observation b ON a.video_id = b.video_id"
        " WHERE a.observed_at < b.observed_at AND a.views_k < b.views_k",
    )
    assert changed[0][0] > n_known / 2
    assert members(profiles) == []


def test_only_what_was_never_seen_where_that_is_wanted(catalog, known):
    wanted = str(FIRST_ID + 9)
    with catalog.write() as session:
        want_videos(session, "tiktok", {wanted: ""}, NOW)
    request = RefreshConfig(per_tag=1)
    plan = plan_refresh(catalog, request, NOT_WATCHED, only_due=True)
    assert (plan.hashtags, plan.n_videos, plan.n_unseen) == ((), 1, 1)
    opener = Opener({wanted: page_of(now(9))})

    result = refresh_with(catalog, None, opener=opener, per_tag=1, only_due=True)

    assert (result.n_pages, result.n_hashtags, result.n_observations, result.n_left) == (1, 0, 1, 0)
    assert plan_refresh(catalog, request, NOT_WATCHED, only_due=True).n_videos == 0
    assert plan_refresh(catalog, request, NOT_WATCHED).n_videos == len(IDS)


DAY = timedelta(days=1)
WATCHED = Watched((7 * DAY.total_seconds(),))


def posted(catalog, number, age, seen_at_ages):
    """A video of that age, and counts of it that were seen at those ages."""
    at = datetime.now(UTC) - age
    for seen_at_age in seen_at_ages:
        shown = sighting(number, f"{number}K", observed_at=at + seen_at_age)
        video, seen = facts_of(shown, b"salt")
        rows = [(replace(video, posted_at=at), seen)]
        with catalog.write() as session:
            store_sightings(session, rows, run_id=None, found_by=None)


def test_what_comes_of_age_is_looked_at_and_nothing_else(catalog):
    hour = timedelta(hours=1)
    posted(catalog, 1, 7 * DAY + hour, [hour])  # has come of age, and nobody looked since
    posted(catalog, 2, 7 * DAY + 2 * hour, [7 * DAY + hour])  # somebody did
    posted(catalog, 3, 7 * DAY - hour, [hour])  # comes of age soon, no count near that age yet
    posted(catalog, 4, 7 * DAY - hour, [4 * DAY])  # comes of age soon, and has one
    posted(catalog, 5, 14 * DAY, [hour])  # too late: no count would be near that age any more
    posted(catalog, 6, 5 * DAY, [hour])  # not soon
    plan = plan_refresh(catalog, RefreshConfig(), WATCHED, only_due=True)
    assert (plan.n_videos, plan.n_of_age, plan.n_unseen) == (2, 2, 0)
    opener = Opener({str(FIRST_ID + n): page_of(now(n)) for n in (1, 3)})

    result = refresh_with(catalog, None, opener=opener, only_due=True, watched=WATCHED)

    assert (result.outcome.status, result.n_pages, result.n_left) == ("ok", 2, 0)
    again = refresh_with(catalog, {}, only_due=True, watched=WATCHED)
    assert (again.n_pages, again.outcome.n_total) == (0, 0)


def test_what_a_forecast_waits_for_is_looked_at_first(catalog):
    hour = timedelta(hours=1)
    for number in (1, 2, 3):
        posted(catalog, number, 2 * DAY + hour, [hour])
    video_id = ask(catalog, "SELECT id FROM video ORDER BY id")[-1][0]
    waits_for(catalog, video_id, horizon_s=2 * 86_400)
    opener = Opener({str(FIRST_ID + 3): page_of(now(3))})

    # Its horizon is none of the watched ages.
    result = refresh_with(catalog, None, opener=opener, only_due=True, watched=WATCHED)
    assert (result.n_pages, result.n_observations) == (1, 1)
    everything = Watched((2.0 * 86_400,))
    opener = Opener({str(FIRST_ID + n): page_of(now(n)) for n in (1, 2)})
    result = refresh_with(catalog, None, opener=opener, only_due=True, watched=everything)
    assert result.n_pages == 2


def waits_for(catalog, video_id, horizon_s):
    """A forecast that waits for its truth."""
    model_id = add_model(catalog, split_id=add_split(catalog, [video_id]))
    with record_run(catalog, "score", params={}, model_version_id=model_id) as run:
        row = {"run_id": run.id, "video_id": video_id}
        said = {"part": "new", "predicted_k": 1.0, "inputs_sha256": "0" * 64}
        with catalog.write() as session:
            posted_at = session.get_one(Video, video_id).posted_at
            times = {"made_at": posted_at, "due_at": posted_at + timedelta(seconds=horizon_s)}
            times["made_at"] += timedelta(hours=1)
            session.add(Prediction(**row, **said))
            session.flush()
            of_model = {"model_version_id": model_id, "horizon_s": horizon_s, "status": "open"}
            session.add(Judgement(**row, **times, **of_model))
