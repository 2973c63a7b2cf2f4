"""» The scraper's door to the catalog: one file per step."""

from scraper.steps.fetch import count_to_fetch, fetch
from scraper.steps.scrape import (
    ScrapeRequest,
    ScrapeResult,
    add_hashtags,
    plan_scrape,
    scrape,
)

__all__ = [
    "ScrapeRequest",
    "ScrapeResult",
    "add_hashtags",
    "count_to_fetch",
    "fetch",
    "plan_scrape",
    "scrape",
]
