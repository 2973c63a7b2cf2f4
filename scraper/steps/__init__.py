"""» The scraper's door to the catalog: one file per step."""

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
