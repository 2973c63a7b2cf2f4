"""The steps of the scraper, which alone touch the catalog; this face is for its commands."""

from scraper.steps.fetch import count_to_fetch, fetch
from scraper.steps.import_ import ImportResult, import_path
from scraper.steps.refresh import RefreshPlan, RefreshResult, plan_refresh, refresh
from scraper.steps.scrape import ScrapeRequest, ScrapeResult, add_hashtags, plan_scrape, scrape

__all__ = [
    "ImportResult",
    "RefreshPlan",
    "RefreshResult",
    "ScrapeRequest",
    "ScrapeResult",
    "add_hashtags",
    "count_to_fetch",
    "fetch",
    "import_path",
    "plan_refresh",
    "plan_scrape",
    "refresh",
    "scrape",
]
