"""Turn what a page showed into what the catalog keeps: nobody is named in it unless one wants."""

from catalog.facts import ObservationFacts, VideoFacts
from scraper.items import Sighting
from scraper.pseudonyms import author_key


def facts_of(
    sighting: Sighting, salt: bytes, *, keep_handles: bool = False
) -> tuple[VideoFacts, ObservationFacts]:
    """Give the video and the observation of a sighting, with the author as a keyed hash.

    keep_handles: the author's name beside it, where the owner of the catalog has said so.
    """
    video = VideoFacts(
        tiktok_id=sighting.tiktok_id,
        # Without the handle: the site resolves an empty one, and nobody is named in the catalog.
        url=f"https://www.tiktok.com/@/video/{sighting.tiktok_id}",
        caption=sighting.caption,
        author_key=author_key(sighting.handle, salt) if sighting.handle else None,
        posted_at=sighting.posted_at,
        duration_s=sighting.duration_s,
        width_px=sighting.width_px,
        height_px=sighting.height_px,
        hashtags=tuple(sighting.hashtags),
        handle=sighting.handle if keep_handles else None,
    )
    observation = ObservationFacts(
        observed_at=sighting.observed_at,
        display_text=sighting.display_text,
        views_k=sighting.views_k,
        step_k=sighting.step_k,
        source=sighting.source,
    )
    return video, observation
