"""Read a site's robots.txt, and take what cannot be read for a no."""

import logging

import httpx
from protego import Protego

from scraper.errors import RobotsUnread
from scraper.wire import open_client

log = logging.getLogger(__name__)

ROBOTS_AGENT = "viewcast"
ROBOTS_S = 15.0
MAX_ROBOTS_BYTES = 512 * 1024


def read_robots(base_url: str) -> Protego:
    """Fetch a robots.txt; all is allowed where there is none. Raises RobotsUnread."""
    url = f"{base_url}/robots.txt"
    text = bytearray()
    try:
        with (
            open_client(ROBOTS_S, headers={"User-Agent": ROBOTS_AGENT}) as client,
            client.stream("GET", url) as reply,
        ):
            status = reply.status_code
            for block in reply.iter_bytes():
                text += block
                if len(text) > MAX_ROBOTS_BYTES:
                    break
    except httpx.HTTPError as error:
        raise RobotsUnread(f"{url} could not be read ({error}), so nothing is visited") from error
    if status in (404, 410):
        log.info("%s does not exist: everything is allowed", url)
        return Protego.parse("")
    if status != 200:
        raise RobotsUnread(f"{url} answered {status} instead of 200, so nothing is visited")
    return Protego.parse(text[:MAX_ROBOTS_BYTES].decode("utf-8", "replace"))
