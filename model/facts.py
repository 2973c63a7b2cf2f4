"""What is known of a video the moment it is posted: never how it did afterwards."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final


@dataclass(frozen=True)
class Facts:
    """What a model may read of a post beside its picture and sound; None: nobody said.

    There is no field for likes, shares, comments, followers or anything else that grows with the
    views: what has no name here cannot become a feature. author: the account's id in the catalog.
    posted_at: aware, the best known time of upload. transcript: what is said in the video, ""
    where nothing is, None where nobody listened.
    """

    caption: str = ""
    hashtags: tuple[str, ...] = ()
    author: int | None = None
    posted_at: datetime | None = None
    duration_s: float | None = None
    width_px: int | None = None
    height_px: int | None = None
    transcript: str | None = None
    language: str | None = None
    speech_s: float | None = None


NO_FACTS: Final = Facts()
