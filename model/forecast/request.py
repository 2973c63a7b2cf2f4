"""What is asked about files: the post they would be, and what else is to be told of them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from catalog.facts import PostFacts
from catalog.files import clean_text
from catalog.verdict import LEAST_GAIN
from features.one_video import MadeFeatures
from model.forecast.card import Refused

HASHTAG: Final = re.compile(r"#([\w\u200d\ufe0f]{1,200})")
HASHTAGS_AT_MOST: Final = 100


@dataclass(frozen=True)
class Named:
    """An author as somebody names them. keys: author_keys that the name may stand for."""

    name: str
    keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class PredictRequest:
    """Files to forecast; what is said of the post holds for each of them.

    files: in place of one that an argument should have named, why there is none. posted_at: aware;
    None: unknown. author, sound: as the catalog may know them. similar: also look for similar
    videos. record: keep the forecasts as a run. what_if: also forecast the post with other hours
    and hashtags, with each of try_hashtags, and with try_caption. least_gain: the setting
    verdict.least_gain.
    """

    files: tuple[Path | Refused, ...]
    caption: str = ""
    hashtags: tuple[str, ...] = ()
    posted_at: datetime | None = None
    author: Named | None = None
    sound: str | None = None
    similar: bool = True
    record: bool = False
    what_if: bool = False
    try_hashtags: tuple[str, ...] = ()
    try_caption: str | None = None
    least_gain: float = LEAST_GAIN

    def facts(self, made: MadeFeatures) -> PostFacts:
        """What a model may read of the post and of the file."""
        heard, read = (
            made.made[kind].detail if kind in made.made else {} for kind in ("audio", "ocr")
        )
        return PostFacts(
            caption=clean_text(self.caption),
            hashtags=self.all_hashtags,
            posted_at=self.posted_at,
            duration_s=made.probe.duration_s,
            width_px=made.probe.width_px,
            height_px=made.probe.height_px,
            transcript=heard.get("text"),
            language=heard.get("language"),
            speech_s=heard.get("speech_s"),
            screen=read.get("text"),
        )

    @property
    def all_hashtags(self) -> tuple[str, ...]:
        """Those of the caption and the others."""
        return sorted_hashtags((*self.hashtags, *HASHTAG.findall(clean_text(self.caption))))

    def captioned(self) -> "PredictRequest | None":
        """The same with the caption that is to be tried; None: there is none."""
        return None if self.try_caption is None else replace(self, caption=self.try_caption)

    def params(self) -> dict[str, Any]:
        """What the run was asked for; nobody is named."""
        return {
            "n_files": len(self.files),
            "caption": clean_text(self.caption),
            "hashtags": list(sorted_hashtags(self.hashtags)),
            "posted_at": utc_text(self.posted_at),
            "author_given": self.author is not None,
            "sound": self.sound,
            "what_if": self.what_if,
        }


def sorted_hashtags(names: Iterable[str]) -> tuple[str, ...]:
    """Hashtags as the catalog has them: lower case, without '#', each once, in alphabetical order.

    Of very many the first so many count, as on a page.
    """
    plain = (clean_text(name).strip().lstrip("#").lower()[:200] for name in names)
    kept = dict.fromkeys(name for name in plain if name)
    return tuple(sorted(list(kept)[:HASHTAGS_AT_MOST]))


def utc_text(at: datetime | None) -> str | None:
    """A time as people and programs read it, in UTC."""
    return None if at is None else at.astimezone(UTC).isoformat(timespec="seconds")
