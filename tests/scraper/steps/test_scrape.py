import re
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from catalog.console import Silent
from catalog.facts import AccountFacts, SoundFacts
from catalog.record.accounts import want_accounts, want_sounds
from catalog.record.retention import Named, purge
from catalog.record.site_days import pages_today, pause_of, set_pause
from scraper.errors import (
    Blocked,
    BrowserFailed,
    NoSuchAccount,
    NoSuchHashtag,
    NoSuchSound,
    PageTimeout,
    PrivateAccount,
    RobotsUnread,
    SiteFailed,
    SitePaused,
)
from scraper.politeness import Site
from scraper.pseudonyms import author_key
from scraper.replica.accounts import uses_of
from scraper.replica.content import ReplicaConfig
from scraper.replica.server import Replica
from scraper.settings import BrowserConfig, SiteLimits
from scraper.steps.scrape import ScrapeRequest, add_hashtags, plan_scrape, scrape
from scraper.visit.listing import Window
from scraper.visit.page import PageFacts
from tests.fresh_catalog import ask, fresh_catalog
from tests.scraper.steps.fakes import FIRST_ID, SEEN_AT, Cut, Opener, listing, sighting
from tests.scraper.visit.test_chromium import members

EMPTY = {"dance": listing(), "music": listing(), "sports": listing()}
CAPTCHA = Blocked("a captcha", mark="captcha")


def nowhere(**limits):
    """A site of nobody's, which remembers how long it was to be waited for."""
    waits = []
    site = Site("http://127.0.0.1:9", limits=SiteLimits(**limits), sleep=waits.append)
    site.waits = waits
    return site


@pytest.fixture
def catalog(tmp_path):
    with fresh_catalog(tmp_path) as opened:
        add_hashtags(opened, {"Dance": ["dance"], "Music": ["music"], "Sports": ["sports"]})
        yield opened


def scrape_with(catalog, answers, *, opener=None, site=None, keep_handles=False, **request):
    return scrape(
        catalog,
        site or nowhere(),
        BrowserConfig(),
        ScrapeRequest(limit=30, **request),
        salt=b"salt",
        progress=Silent(),
        keep_handles=keep_handles,
        open_with=opener or Opener(answers),
    )


def listed(catalog):
    return [name for (name,) in ask(catalog, "SELECT name FROM hashtag WHERE listed_at NOT NULL")]


def errors(catalog):
    found = ask(catalog, "SELECT subject, code, detail FROM event WHERE level = 'error'")
    return {subject: (code, detail) for subject, code, detail in found}


def pause(catalog, site, scope):
    with catalog.read() as session:
        return pause_of(session, site.name, scope, datetime.now(UTC))


def test_a_sighting_is_stored_with_its_text_as_it_stood_on_the_page(catalog):
    answers = EMPTY | {"dance": listing(sighting(1, "30.58M"), sighting(2, "1635"))}

    result = scrape_with(catalog, answers)

    assert (result.n_new_videos, result.n_observations) == (2, 2)
    assert (result.outcome.status, result.outcome.n_done) == ("ok", 3)
    assert ask(
        catalog, "SELECT display_text, views_k, step_k FROM view_observation ORDER BY video_id"
    ) == [("30.58M", 30_580.0, 10.0), ("1635", 1.635, 0.0)]


def test_an_unreadable_count_is_null_and_its_text_is_kept(catalog):
    scrape_with(catalog, EMPTY | {"dance": listing(sighting(1, "viele"))})

    assert ask(catalog, "SELECT display_text, views_k, step_k FROM view_observation") == [
        ("viele", None, None)
    ]


def test_nobody_is_named_in_the_catalog(catalog):
    scrape_with(catalog, EMPTY | {"dance": listing(sighting(1))})

    [(key, handle, url)] = ask(
        catalog, "SELECT author_key, handle, url FROM account JOIN video ON account_id = account.id"
    )
    assert "handle1" not in key
    assert handle is None
    assert url == f"https://www.tiktok.com/@/video/{FIRST_ID + 1}"


def test_authors_are_named_where_the_owner_wants_it(catalog):
    scrape_with(catalog, EMPTY | {"dance": listing(sighting(1))}, keep_handles=True)

    assert ask(catalog, "SELECT handle FROM account") == [("handle1",)]


def test_how_each_listing_went_is_recorded(catalog):
    cards = sighting(2, source="dom")
    found = listing(sighting(1), cards, stop="stalled", ad=3, photo=1)

    result = scrape_with(catalog, EMPTY | {"dance": found})

    assert result.sources == {"xhr": 1, "dom": 1}
    assert result.rejected == {"ad": 3, "photo": 1}
    assert result.stopped == {"stalled": 1, "end": 2}
    [(detail,)] = ask(
        catalog, "SELECT detail FROM event WHERE code = 'listed' AND subject = '#dance'"
    )
    for words in ('"stop_reason": "stalled"', '"n_videos": 2', '"dom": 1', '"ad": 3', '"new": 2'):
        assert words in detail


def test_an_error_costs_one_hashtag_and_is_recorded(catalog):
    answers = EMPTY | {"dance": SiteFailed("status 500"), "music": listing(sighting(1))}
    opener = Opener(answers)

    result = scrape_with(catalog, answers, opener=opener)

    assert (result.outcome.status, result.outcome.exit_code) == ("partial", 4)
    assert (result.outcome.n_done, result.outcome.n_failed) == (2, 1)
    assert result.n_new_videos == 1
    assert listed(catalog) == ["music", "sports"]
    assert errors(catalog)["#dance"][0] == "site_failed"
    assert opener.n_opened == 1


@pytest.mark.parametrize("error", [BrowserFailed("it crashed"), PageTimeout("no answer in 30 s")])
def test_a_lost_browser_is_closed_and_replaced_for_the_next_hashtag(catalog, error):
    answers = EMPTY | {"dance": error, "music": listing(sighting(1))}
    opener = Opener(answers)

    result = scrape_with(catalog, answers, opener=opener)

    assert (opener.n_opened, opener.n_closed) == (2, 2)
    assert (result.outcome.n_done, result.outcome.codes) == (2, {error.code: 1})


def test_a_browser_lost_in_the_middle_keeps_its_videos_and_is_replaced(catalog):
    lost = listing(sighting(1), stop="crashed", error=BrowserFailed("tab crashed"))
    answers = EMPTY | {"dance": lost}
    opener = Opener(answers)

    result = scrape_with(catalog, answers, opener=opener)

    assert (opener.n_opened, opener.n_closed) == (2, 2)
    assert (result.n_new_videos, result.stopped) == (1, {"crashed": 1, "end": 2})
    assert listed(catalog) == ["music", "sports"]
    code, detail = errors(catalog)["#dance"]
    assert code == "listing_crashed"
    assert "1 videos are kept: tab crashed" in detail


@pytest.mark.parametrize("stop", ["blocked", "broken", "timeout"])
def test_a_listing_that_was_cut_short_keeps_its_videos_and_is_due_again(catalog, stop):
    answers = EMPTY | {"dance": listing(sighting(1), stop=stop)}

    result = scrape_with(catalog, answers, fresh_for=timedelta(hours=1))

    assert result.n_new_videos == 1
    assert result.stopped == {stop: 1, "end": 2}
    assert (result.outcome.status, result.outcome.codes) == ("partial", {f"listing_{stop}": 1})
    assert listed(catalog) == ["music", "sports"]
    again = scrape_with(catalog, answers, fresh_for=timedelta(hours=1))
    assert again.outcome.n_total == 1


def test_a_run_that_is_killed_has_kept_every_look_before(catalog):
    with pytest.raises(KeyboardInterrupt):
        scrape_with(catalog, EMPTY | {"dance": Cut([sighting(1)], KeyboardInterrupt())})

    assert ask(catalog, "SELECT tiktok_id FROM video") == [(str(FIRST_ID + 1),)]
    assert listed(catalog) == []


def test_what_was_listed_a_short_time_ago_is_left_alone(catalog):
    answers = EMPTY | {"dance": listing(sighting(1))}
    scrape_with(catalog, answers, fresh_for=timedelta(hours=1))
    opener = Opener(answers)

    result = scrape_with(catalog, answers, opener=opener, fresh_for=timedelta(hours=1))

    assert (result.outcome.status, result.outcome.n_total) == ("ok", 0)
    assert opener.n_opened == 0
    assert ask(catalog, "SELECT count(*) FROM view_observation") == [(1,)]


def test_pages_that_are_left_alone_are_counted(catalog):
    first = scrape_with(catalog, EMPTY, fresh_for=timedelta(hours=1))
    second = scrape_with(catalog, EMPTY, fresh_for=timedelta(hours=1))
    third = scrape_with(catalog, EMPTY, fresh_for=None)

    assert (first.n_fresh, second.n_fresh, third.n_fresh) == (0, 3, 0)
    assert [found.outcome.n_done for found in (first, second, third)] == [3, 0, 3]


def test_a_later_sighting_adds_an_observation_and_no_video(catalog):
    scrape_with(catalog, EMPTY | {"dance": listing(sighting(1, "30.5K"))})
    later = sighting(1, "31K", observed_at=SEEN_AT + timedelta(days=1))

    result = scrape_with(catalog, EMPTY | {"dance": listing(later)})

    assert (result.n_new_videos, result.n_known_videos, result.n_observations) == (0, 1, 1)
    assert ask(
        catalog,
        "SELECT display_text FROM view_observation o JOIN video ON latest_observation_id = o.id",
    ) == [("31K",)]


# --- accounts and sounds

TUNE = "7098765432109876543"
COUNTED = AccountFacts(n_followers=1_200, n_posts=3, is_verified=False, region="DE")
USED = SoundFacts(TUNE, title="original sound - Somebody", is_original=True, n_videos=77)
GONE = {"@somebody": NoSuchAccount("gone"), TUNE: NoSuchSound("gone")}


def about(account=None, sound=None, at=SEEN_AT):
    return PageFacts(account, sound, "hydration", at)


@pytest.fixture
def listed_wishes(catalog):
    """An account and a sound on the list to collect."""
    with catalog.write() as session:
        want_accounts(session, "tiktok", {author_key("somebody", b"salt"): "somebody"}, SEEN_AT)
        want_sounds(session, "tiktok", [TUNE], SEEN_AT)


def of_somebody(*numbers, **changes):
    return [sighting(n, handle="somebody", **changes) for n in numbers]


@pytest.mark.usefixtures("listed_wishes")
def test_wanted_accounts_and_sounds_are_listed_beside_the_hashtags(catalog):
    answers = EMPTY | {
        "@somebody": listing(*of_somebody(1, 2), about=about(account=COUNTED)),
        TUNE: listing(sighting(3, sound=SoundFacts(TUNE)), about=about(sound=USED)),
    }

    result = scrape_with(catalog, answers)

    assert (result.outcome.status, result.outcome.n_done, result.n_new_videos) == ("ok", 5, 3)
    assert (result.n_account_observations, result.n_sound_observations) == (1, 1)
    assert ask(
        catalog,
        "SELECT n_followers, n_posts, is_verified, o.region, source, handle FROM"
        " account_observation o JOIN account a ON a.id = account_id",
    ) == [(1_200, 3, 0, "DE", "hydration", "somebody")]
    # Whose own sound it is stays out of the catalog.
    assert ask(
        catalog,
        "SELECT title, n_videos FROM sound_observation JOIN sound ON sound.id = sound_id",
    ) == [(None, 77)]
    linked = (
        "SELECT tiktok_id, handle, platform_id FROM video v LEFT JOIN account a"
        " ON a.id = account_id LEFT JOIN sound s ON s.id = sound_id ORDER BY 1"
    )
    assert ask(catalog, linked) == [
        (str(FIRST_ID + 1), "somebody", None),
        (str(FIRST_ID + 2), "somebody", None),
        (str(FIRST_ID + 3), None, TUNE),
    ]
    # None of them was listed for a hashtag.
    assert ask(catalog, "SELECT count(*) FROM video_hashtag WHERE found_by = 'listing'") == [(0,)]
    opener = Opener({})
    again = scrape_with(catalog, {}, opener=opener, fresh_for=timedelta(hours=1))
    assert (again.outcome.n_total, opener.n_opened) == (0, 0)


@pytest.mark.usefixtures("listed_wishes")
def test_a_page_named_on_the_command_line_is_listed_alone_and_need_not_be_known(catalog):
    answers = {"@Other.Body": listing(sighting(1, handle="other.body")), TUNE: listing()}

    result = scrape_with(catalog, answers, accounts=["Other.Body"], sounds=[TUNE])

    assert (result.outcome.n_done, result.n_new_videos) == (2, 1)
    key = author_key("other.body", b"salt")
    assert ask(
        catalog, "SELECT handle, listed_at NOT NULL FROM account WHERE author_key = :key", key=key
    ) == [(None, 1)]
    request = ScrapeRequest(limit=30, accounts=["other.body"], fresh_for=timedelta(hours=1))
    assert plan_scrape(catalog, request, salt=b"salt") == []


def test_a_card_of_a_page_tells_whose_video_it_is(catalog):
    card = {"handle": None, "source": "dom", "posted_at": None}
    answers = {
        "@somebody": listing(sighting(1, **card)),
        TUNE: listing(sighting(2, **card)),
    }
    scrape_with(catalog, answers, accounts=["somebody"], sounds=[TUNE])
    assert ask(
        catalog,
        "SELECT author_key, platform_id FROM video v LEFT JOIN account a ON a.id = account_id"
        " LEFT JOIN sound s ON s.id = sound_id ORDER BY tiktok_id",
    ) == [(author_key("somebody", b"salt"), None), (None, TUNE)]


@pytest.mark.usefixtures("listed_wishes")
@pytest.mark.parametrize("error", [NoSuchAccount("gone"), PrivateAccount("private")])
def test_what_is_gone_or_private_is_noted_and_left_alone_for_a_day(catalog, error):
    answers = GONE | {"@somebody": error}
    sources = {"accounts": ["somebody"], "sounds": [TUNE]}

    first = scrape_with(catalog, answers, **sources)
    second = scrape_with(catalog, {}, **sources)
    third = scrape_with(catalog, {"@somebody": listing(), TUNE: listing()}, again=True, **sources)

    assert first.outcome.codes == {error.code: 1, "no_such_sound": 1}
    key = author_key("somebody", b"salt")
    assert errors(catalog).keys() == {f"account {key}", f"sound {TUNE}"}
    assert second.outcome.codes == {"paused": 2}
    until = pause(catalog, nowhere(), f"account {key}")
    assert until is None or until.until > datetime.now(UTC) + timedelta(hours=11)
    assert third.outcome.n_done == 2


def test_a_list_half_of_which_is_gone_is_listed_to_its_end(catalog):
    names = [f"somebody{n:02}" for n in range(24)]
    answers = {f"@{name}": NoSuchAccount("gone") for name in names[:12]}
    answers |= {f"@{name}": listing() for name in names[12:]}

    result = scrape_with(catalog, answers, accounts=names)

    assert (result.outcome.n_done, result.outcome.codes) == (12, {"no_such_account": 12})


@pytest.mark.usefixtures("listed_wishes")
def test_an_account_is_not_named_in_the_journal_or_the_pauses(catalog):
    refused = Blocked("the account's page shows a captcha", mark="captcha")
    scrape_with(catalog, {"@somebody": refused}, accounts=["somebody"])
    scrape_with(catalog, {"@somebody": listing(*of_somebody(1))}, accounts=["somebody"], again=True)
    for table, columns in (
        ("event", "subject || coalesce(detail, '')"),
        ("site_pause", "scope || reason"),
    ):
        for (text,) in ask(catalog, f"SELECT {columns} FROM {table}"):
            assert "somebody" not in text


@pytest.mark.usefixtures("listed_wishes")
def test_a_purged_account_is_not_visited(catalog):
    key = author_key("somebody", b"salt")
    with catalog.write() as session:
        purge(session, Named("tiktok", {}, {key: "somebody"}), reason="asked")

    assert plan_scrape(catalog, ScrapeRequest(limit=1, sounds=[]), salt=b"salt") == []
    result = scrape_with(catalog, {}, accounts=["somebody"])

    assert result.outcome.codes == {"tombstoned": 1}


def test_the_window_is_handed_on_and_recorded(catalog):
    opened = []

    class Watched(Opener):
        @contextmanager
        def __call__(self, config, site):
            with super().__call__(config, site) as browser:
                opened.append(browser)
                yield browser

    window = Window(since=SEEN_AT)
    scrape_with(catalog, EMPTY, opener=Watched(EMPTY), window=window)

    assert opened[0].windows == [window] * 3
    [(params,)] = ask(catalog, "SELECT params FROM run")
    assert SEEN_AT.isoformat() in params


@pytest.mark.chromium
def test_accounts_and_sounds_of_the_replica_are_followed_as_they_grow(catalog, clips, profiles):
    days = [0.0]
    config = BrowserConfig(profile_root=profiles, look_s=1.0)
    small = ReplicaConfig(videos_per_tag=6, n_accounts=3, page_size=5, topics=("Dance", "Music"))
    with Replica(small, clips, days=lambda: days[0]) as replica:
        site, content = Site(replica.url), replica.content
        names = {a.handle: author_key(a.handle, b"salt") for a in content.accounts}
        private = content.accounts[-1].handle
        with catalog.write() as session:
            want_accounts(session, "tiktok", {key: name for name, key in names.items()}, SEEN_AT)
            want_sounds(session, "tiktok", content.by_sound, SEEN_AT)
        options = {"salt": b"salt", "progress": Silent()}
        request = ScrapeRequest(
            limit=100, accounts=list(names), sounds=list(content.by_sound), again=True
        )
        first = scrape(catalog, site, config, request, **options)
        days[0] = 20.0
        second = scrape(catalog, site, config, request, **options)

        vanished = len(content.videos) - len(
            {
                v.tiktok_id
                for a in content.accounts
                for v in replica.site.timeline.posted_by(a.handle)
            }
        )
    assert (first.outcome.codes, second.outcome.codes) == ({"private_account": 1},) * 2
    assert first.n_new_videos == len(content.videos)
    assert second.n_observations == len(content.videos) - vanished
    unlinked = "SELECT count(*) FROM video WHERE account_id IS NULL OR sound_id IS NULL"
    assert ask(catalog, unlinked) == [(0,)]
    grown = (
        "SELECT count(*) FROM account_observation a JOIN account_observation b"
        " ON a.account_id = b.account_id WHERE a.source = 'hydration' AND b.source = 'hydration'"
        " AND a.observed_at < b.observed_at AND a.n_followers < b.n_followers"
    )
    assert ask(catalog, grown) == [(len(names) - 1,)]
    key = names[private]
    assert ask(catalog, "SELECT listed_at FROM account WHERE author_key = :key", key=key) == [
        (None,)
    ]
    uses = ask(
        catalog,
        "SELECT platform_id, max(n_videos) FROM sound_observation"
        " JOIN sound ON sound.id = sound_id GROUP BY 1",
    )
    assert dict(uses) == {
        name: max(uses_of(videos[0].music, 20.0, 0), len(videos))
        for name, videos in content.by_sound.items()
    }
    assert members(profiles) == []


# --- refusals


def test_a_refused_hashtag_says_when_to_come_again_and_is_left_alone_until_then(catalog):
    site, answers = nowhere(), EMPTY | {"dance": CAPTCHA}

    scrape_with(catalog, answers, site=site)

    code, detail = errors(catalog)["#dance"]
    assert code == "blocked"
    assert re.search(r"a captcha; try again after 20..-..-.. ..:.. UTC", detail)
    assert pause(catalog, site, "#dance").n_times == 1
    second = scrape_with(catalog, EMPTY, site=site)
    assert (second.outcome.status, second.outcome.codes) == ("ok", {"paused": 1})
    assert listed(catalog) == ["music", "sports"]
    noted = ask(catalog, "SELECT subject, detail FROM event WHERE code = 'paused'")
    assert [subject for subject, _ in noted] == ["#dance"]
    assert "a captcha" in noted[0][1]


def test_again_lists_a_paused_hashtag_and_its_answer_ends_the_pause(catalog):
    site = nowhere()
    scrape_with(catalog, EMPTY | {"dance": CAPTCHA}, site=site)
    scrape_with(catalog, EMPTY | {"dance": CAPTCHA}, site=site, again=True)
    assert pause(catalog, site, "#dance").n_times == 2

    result = scrape_with(catalog, EMPTY, site=site, again=True)

    assert result.outcome.n_done == 3
    assert pause(catalog, site, "#dance") is None


def test_a_listing_refused_in_the_middle_is_paused_too(catalog):
    site, refused = nowhere(), listing(sighting(1), stop="blocked", error=CAPTCHA)

    result = scrape_with(catalog, EMPTY | {"dance": refused}, site=site)

    assert (result.n_new_videos, result.outcome.codes) == (1, {"listing_blocked": 1})
    assert pause(catalog, site, "#dance") is not None


def test_a_short_wish_to_be_left_alone_is_waited_for(catalog):
    site = nowhere(max_wait_s=30)
    answers = EMPTY | {"dance": Blocked("429", mark="rate_limited", retry_after_s=7.0)}

    result = scrape_with(catalog, answers, site=site)

    assert site.waits == [7.0]
    assert (result.outcome.n_done, result.outcome.n_failed) == (2, 1)
    assert "for 7 s" in errors(catalog)["#dance"][1]


def test_a_long_wish_to_be_left_alone_ends_the_run_and_is_granted(catalog):
    site = nowhere(max_wait_s=30)
    answers = EMPTY | {"dance": Blocked("429", mark="rate_limited", retry_after_s=7_200.0)}

    result = scrape_with(catalog, answers, site=site)

    assert site.waits == []
    assert result.outcome.codes == {"blocked": 1, "site_paused": 3}
    assert (result.outcome.status, result.outcome.exit_code) == ("partial", 4)
    left = pause(catalog, site, "").until - datetime.now(UTC)
    assert timedelta(minutes=119) < left <= timedelta(hours=2)
    assert pause(catalog, site, "#dance").until - datetime.now(UTC) > timedelta(minutes=119)


def test_so_many_refusals_in_a_row_leave_the_site_alone(catalog):
    site, opener = nowhere(blocks_to_stop=2), Opener(EMPTY | {"dance": CAPTCHA, "music": CAPTCHA})

    result = scrape_with(catalog, {}, site=site, opener=opener)

    assert result.outcome.codes == {"blocked": 2, "site_paused": 2}
    assert (result.outcome.n_skipped, result.outcome.exit_code) == (1, 4)
    assert "refused 2 times in a row" in errors(catalog)[site.name][1]
    with pytest.raises(SitePaused, match=r"is left alone until 20.*refused 2 times") as told:
        scrape_with(catalog, {}, site=site, opener=opener, again=True)
    assert told.value.exit_code == 5
    assert opener.n_opened == 1


def test_refusals_with_an_answer_between_them_are_not_in_a_row(catalog):
    site = nowhere(blocks_to_stop=2)
    answers = {"dance": CAPTCHA, "music": NoSuchHashtag("none"), "sports": CAPTCHA}

    result = scrape_with(catalog, answers, site=site)

    assert result.outcome.codes == {"blocked": 2, "no_such_hashtag": 1}
    assert pause(catalog, site, "") is None


def over(catalog, site, scope=""):
    """A pause that has ended a moment ago."""
    with catalog.write() as session:
        set_pause(session, site.name, scope, datetime.now(UTC) - timedelta(seconds=1), "a captcha")


def test_after_the_pause_one_answer_forgets_it(catalog):
    site = nowhere(blocks_to_stop=2)
    over(catalog, site)

    scrape_with(catalog, EMPTY | {"sports": CAPTCHA}, site=site)

    assert pause(catalog, site, "") is None
    assert ask(catalog, "SELECT scope FROM site_pause") == [("#sports",)]


def test_after_the_pause_one_refusal_begins_the_next_and_longer_one(catalog):
    site = nowhere(blocks_to_stop=3)
    over(catalog, site)

    result = scrape_with(catalog, EMPTY | {"dance": CAPTCHA}, site=site)

    assert result.outcome.codes == {"blocked": 1, "site_paused": 3}
    assert pause(catalog, site, "").n_times == 2


# --- how much in a day


def test_pages_are_counted_and_the_days_budget_is_kept(catalog):
    site, opener = nowhere(daily_pages=2), Opener(EMPTY)

    result = scrape_with(catalog, {}, site=site, opener=opener)

    assert (result.outcome.n_done, result.outcome.n_skipped) == (2, 1)
    assert result.outcome.codes == {"budget_spent": 2}
    assert (result.outcome.status, result.outcome.exit_code) == ("partial", 4)
    assert "waits for tomorrow" in errors(catalog)[site.name][1]
    with catalog.read() as session:
        assert pages_today(session, site.name, datetime.now(UTC)) == 2
    again = scrape_with(catalog, {}, site=nowhere(daily_pages=2), opener=opener)
    assert (again.outcome.n_done, again.outcome.exit_code) == (0, 4)
    assert opener.n_opened == 1


def test_a_budget_that_is_just_enough_is_no_failure(catalog):
    result = scrape_with(catalog, EMPTY, site=nowhere(daily_pages=3))

    assert (result.outcome.status, result.outcome.n_done) == ("ok", 3)


# --- a real browser on a site that misbehaves


def scrape_live(catalog, live, profiles, **config):
    site = Site(live.url)
    return scrape(
        catalog,
        site,
        BrowserConfig(profile_root=profiles, look_s=1.0, script_s=3.0, command_s=8.0, **config),
        ScrapeRequest(limit=1_000),
        salt=b"salt",
        progress=Silent(),
    )


@pytest.mark.chromium
@pytest.mark.parametrize(
    ("name", "stop"),
    [
        ("crash", "crashed"),
        ("infinite_js", "crashed"),
        ("rate_limit", "blocked"),
        ("login_modal:1,behind=0", "blocked"),
        ("nan", "broken"),
    ],
)
def test_what_was_listed_before_a_fault_is_in_the_catalog(catalog, live, profiles, name, stop):
    live.site.set_fault("dance", name)
    try:
        result = scrape_live(catalog, live, profiles)
    finally:
        live.site.set_fault("dance", None)

    assert result.stopped == {stop: 1, "end": 2}
    assert (result.outcome.status, result.outcome.n_done) == ("partial", 2)
    [(n_videos,)] = ask(
        catalog,
        "SELECT count(*) FROM video_hashtag v JOIN hashtag h ON h.id = hashtag_id"
        " WHERE name = 'dance' AND found_by = 'listing'",
    )
    assert n_videos >= 30
    assert members(profiles) == []


def test_a_site_whose_robots_txt_cannot_be_read_is_asked_once(catalog):
    unread = RobotsUnread("robots.txt could not be read, so nothing is visited")
    site = nowhere()

    with pytest.raises(RobotsUnread):
        scrape_with(catalog, dict.fromkeys(EMPTY, unread), site=site)

    assert site.n_visits == 1
    assert ask(catalog, "SELECT status FROM run") == [("failed",)]
