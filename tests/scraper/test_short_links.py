import pytest

from scraper.errors import LiveSiteRefused, RowRefused
from scraper.politeness import Site
from scraper.replica.content import ReplicaConfig
from scraper.replica.messages import Reply, object_key
from scraper.replica.server import Replica
from scraper.settings import SiteLimits
from scraper.short_links import ShortLinks
from tests.scraper.proxies import proxy


@pytest.fixture(scope="module")
def replica(tmp_path_factory):
    with Replica(ReplicaConfig(videos_per_tag=1), tmp_path_factory.mktemp("clips")) as running:
        yield running


@pytest.fixture
def site(replica):
    return Site(replica.url, limits=SiteLimits())


def link_to(replica, video):
    return f"{replica.url}/t/{object_key(video.tiktok_id)[1:]}/"


def test_a_link_is_followed_once_and_not_what_it_leads_to(replica, site):
    video = replica.content.videos[0]
    n_before, asked = len(replica.requests), []
    follow = ShortLinks(lambda: site, asked=asked.append)
    led_to = follow(link_to(replica, video))
    assert led_to.startswith(f"{replica.url}/@{video.handle}/video/{video.tiktok_id}?")
    follow(link_to(replica, replica.content.videos[1]))
    paths = [request.path for request in replica.requests[n_before:]]
    assert (paths[0], paths.count("/robots.txt"), len(paths)) == ("/robots.txt", 1, 3)
    assert (site.n_visits, asked) == (2, [site, site])


def test_a_link_that_leads_nowhere_says_so(replica, site):
    with pytest.raises(RowRefused, match="404"):
        ShortLinks(lambda: site)(f"{replica.url}/t/nothing/")


def test_a_site_that_may_not_be_visited_is_not(replica):
    def refuse():
        raise LiveSiteRefused("not here")

    with pytest.raises(RowRefused, match=r"site\.allow_live"):
        ShortLinks(refuse)("https://vm.tiktok.com/ZMx/")


def test_no_other_site_is_asked(replica, site):
    n_before = len(replica.requests)
    for link in ("https://vm.tiktok.com/ZMx/", "http://127.0.0.1:9/t/x"):
        with pytest.raises(RowRefused, match="not of 127"):
            ShortLinks(lambda: site)(link)
    assert len(replica.requests) == n_before


def test_after_a_refusal_the_rest_is_not_asked(replica, site, monkeypatch):
    answers = [403, 403]
    usual = replica.site.answer
    monkeypatch.setattr(
        replica.site,
        "answer",
        lambda request: Reply(answers.pop()) if request.path.startswith("/t/") else usual(request),
    )
    follow = ShortLinks(lambda: site)
    with pytest.raises(RowRefused, match="403"):
        follow(f"{replica.url}/t/a/")
    with pytest.raises(RowRefused, match="answered 403 to the one before"):
        follow(f"{replica.url}/t/b/")
    assert answers == [403]


def test_a_day_that_is_spent_or_a_pause_is_kept(replica, site):
    n_before = len(replica.requests)
    with pytest.raises(RowRefused, match="enough for today"):
        ShortLinks(lambda: site, may_ask=lambda _: "enough for today")(f"{replica.url}/t/a/")
    assert len(replica.requests) == n_before


def test_a_link_and_its_robots_txt_are_asked_for_through_the_proxy(replica):
    video = replica.content.videos[0]
    with proxy() as between:
        site = Site(replica.url, limits=SiteLimits(), proxy=between.url)
        ShortLinks(lambda: site)(link_to(replica, video))
        assert between.passed == [f"{replica.url}/robots.txt", link_to(replica, video)]
