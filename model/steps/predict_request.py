"""What `predict` is asked for: files, and what is known of the post they are meant for."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from features.oneoff import MadeFeatures
from model.facts import Facts

HASHTAG = re.compile(r"#([\w\u200d\ufe0f]{1,200})")
HASHTAGS_AT_MOST = 100


@dataclass(frozen=True)
class PredictRequest:
    """Files to forecast; what is said of the post holds for each of them.

    posted_at: aware; None: unknown. similar: also look for similar videos. record: keep the
    forecasts as a run.
    """

    files: tuple[Path, ...]
    caption: str = ""
    hashtags: tuple[str, ...] = ()
    posted_at: datetime | None = None
    similar: bool = True
    record: bool = False

    def facts(self, made: MadeFeatures) -> Facts:
        """What a model may read of the post and of the file."""
        audio = made.made.get("audio")
        heard = {} if audio is None else audio.detail
        caption = clean(self.caption)
        return Facts(
            caption=caption,
            hashtags=plain_hashtags((*self.hashtags, *HASHTAG.findall(caption))),
            posted_at=self.posted_at,
            duration_s=made.probe.duration_s,
            width_px=made.probe.width_px,
            height_px=made.probe.height_px,
            transcript=heard.get("text"),
            language=heard.get("language"),
            speech_s=heard.get("speech_s"),
        )

    def params(self) -> dict[str, Any]:
        """What the run was asked for."""
        return {
            "n_files": len(self.files),
            "caption": clean(self.caption),
            "hashtags": list(plain_hashtags(self.hashtags)),
            "posted_at": utc_text(self.posted_at),
        }


def plain_hashtags(names: Iterable[str]) -> tuple[str, ...]:
    """Hashtags as the catalog has them: lower case, without '#', each once, in alphabetical order.

    Of very many the first so many count, as on a page.
    """
    plain = (clean(name).strip().lstrip("#").lower()[:200] for name in names)
    kept = dict.fromkeys(name for name in plain if name)
    return tuple(sorted(list(kept)[:HASHTAGS_AT_MOST]))


def clean(text: str) -> str:
    """A text that every database and encoding takes: no NUL, no half of a surrogate pair."""
    return text.replace("\0", "").encode("utf-8", "ignore").decode("utf-8")


def utc_text(at: datetime | None) -> str | None:
    """A time as people and programs read it, in UTC."""
    return None if at is None else at.astimezone(UTC).isoformat(timespec="seconds")
