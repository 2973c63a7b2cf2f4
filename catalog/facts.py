"""What steps tell the catalog and what it answers, as plain frozen records.

With them the rules about their numbers that more than one room applies. This module imports
nothing of ours and no database: the cores of the stages may use it, and nothing else of the catalog
but its errors and files.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

PartName = Literal["train", "val", "holdout"]
#: What of accounts and sounds a model may read: what had been seen of them before the post, or,
#: where nothing had, also what was seen first afterwards (at the crawl).
AsOf = Literal["post", "crawl"]
#: Which counts of earlier posts a model may read: those seen before the post, or those that the
#: catalog has of posts that are at least a day older.
HistoryRule = Literal["observed", "posted"]

IN_SAMPLE: PartName = "train"
OLDEST_UPLOAD = datetime(2014, 1, 1, tzinfo=UTC)  # before the site's first ancestor

# Whose pages we know how to visit.
SITE_PLATFORM = "tiktok"
# Of videos that are on no site, so far as anybody said: files that lie on somebody's disk.
LOCAL_PLATFORM = "local"

#: A video's texts: what was written about it, what is said in it, what is read on its screen.
TEXT_PARTS = ("caption", "transcript", "screen")
#: The kind of feature whose detail has the text of a part.
KIND_OF_PART: Mapping[str, str] = {"transcript": "audio", "screen": "ocr"}

# What the site calls the sound of somebody's own video, whose name then follows.
OWN_TITLE = re.compile(
    r"origin|orijin|orygin|оригинал|オリジナル|原[声聲]|오리지널|asli|gốc|nhạc nền|ต้นฉบับ|الأصلي",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Reactions:
    """What viewers did with a video up to a moment; None: not said.

    Outcomes like the views: they are kept to be asked for in SQL, and never become features.
    """

    n_likes: int | None = None
    n_comments: int | None = None
    n_shares: int | None = None
    n_saves: int | None = None


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """What was shown of an author at the moment of the sighting; None: not said.

    n_likes: received over all posts. n_posts: videos and slide shows together. bio_chars: how
    long the account's own words are; the words themselves are not kept.
    """

    n_followers: int | None = None
    n_following: int | None = None
    n_likes: int | None = None
    n_posts: int | None = None
    is_verified: bool | None = None
    bio_chars: int | None = None
    region: str | None = None


@dataclass(frozen=True, slots=True)
class SoundFacts:
    """The music of a video; None: not said.

    platform_id: what the site calls it. author: only of a published piece, never the person whose
    original sound it is. n_videos: how many videos used it at the moment of the sighting.
    """

    platform_id: str
    title: str | None = None
    author: str | None = None
    is_original: bool | None = None
    duration_s: float | None = None
    n_videos: int | None = None


@dataclass(frozen=True, slots=True)
class Traits:
    """What a post is beside its words, fixed when it is posted; None: not said.

    language: of the caption, as the site names it ("en"). region: where it was posted ("DE").
    is_ad: declared as advertising or a paid partnership. n_mentions: accounts named in the caption.
    """

    language: str | None = None
    region: str | None = None
    is_ad: bool | None = None
    is_duet: bool | None = None
    is_stitch: bool | None = None
    n_mentions: int | None = None


@dataclass(frozen=True)
class VideoFacts:
    """What a page said about a video; None: it did not say.

    is_posted_at_stated: False where posted_at was only derived, from the id or a bare date: it
    then fills a gap and never replaces a time that is known.
    """

    tiktok_id: str
    url: str
    caption: str
    author_key: str | None
    posted_at: datetime | None
    duration_s: float | None
    width_px: int | None
    height_px: int | None
    hashtags: tuple[str, ...]
    platform: str = "tiktok"
    handle: str | None = None
    is_posted_at_stated: bool = True
    account: AccountFacts | None = None
    sound: SoundFacts | None = None
    traits: Traits | None = None


@dataclass(frozen=True)
class ObservationFacts:
    """A view count as it was shown; views_k and step_k are None when it was not readable.

    is_time_stated: False where observed_at is only the age of a file. A count that equals the
    video's newest one is then no observation of its own, or a copied file would make new ones.
    """

    observed_at: datetime
    display_text: str
    views_k: float | None
    step_k: float | None
    source: str
    is_time_stated: bool = True
    reactions: Reactions | None = None


@dataclass(frozen=True)
class SightingCounts:
    """How much of a batch of sightings was new; tombstoned and unknown ones were left out."""

    new_videos: int
    known_videos: int
    new_observations: int
    tombstoned: int = 0
    unknown: int = 0


@dataclass(frozen=True)
class RejectedFacts:
    """A row of an import that is not taken; row_sha256 tells it again."""

    line: int
    tiktok_id: str | None
    reason: str
    detail: str
    row_sha256: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A video that may enter a split; both times are aware."""

    video_id: int
    tiktok_id: str
    author_id: int | None
    posted_at: datetime | None
    first_seen_at: datetime


@dataclass(frozen=True, slots=True)
class Observed:
    """One readable count of a video, in thousands, and when it was seen.

    step_k: the resolution it was shown at; 0: exact.
    """

    id: int
    observed_at: datetime
    views_k: float
    step_k: float = 0.0


@dataclass(frozen=True, slots=True)
class LabelAtAge:
    """What a label that is of an age has beside a count: its bounds, in thousands.

    second_id, second_at: the count after that age, and when it was seen; None: the label is made of
    one count alone.
    """

    low_k: float
    high_k: float
    second_id: int | None = None
    second_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """A video of a split, its part, and the count that is its label.

    at_age: of a label at an age; label.views_k is then the views at that age, and the rest of it
    the count before that age, or the one after it where there is none before.
    """

    video: Candidate
    part: PartName
    label: Observed
    at_age: LabelAtAge | None = None

    @property
    def known_at(self) -> datetime:
        """When the last count was seen that the label is made of."""
        second_at = None if self.at_age is None else self.at_age.second_at
        return second_at or self.label.observed_at


@dataclass(frozen=True)
class SplitFacts:
    """A frozen split; `created` is False when it was there before."""

    id: int
    name: str
    sha256: str
    created: bool
    n_by_part: Mapping[str, int]


@dataclass(frozen=True)
class ModelFacts:
    """A model version with everything needed to load and judge it.

    as_of, history_rule: what it may read of accounts, sounds and earlier posts; None: nothing.
    label: what it forecasts, "latest" or the views at an age ("at:7d"). horizon_s: the age that its
    forecasts of new posts are of; None: none is stated.
    """

    id: int
    name: str
    version: int
    model_kind: str
    objective: str
    artifact_uri: str
    sha256: str
    hyper: Mapping[str, Any]
    target: Mapping[str, Any]
    quartile_edges: tuple[float, ...]
    split_id: int | None
    train_run_id: int
    inputs_hash: str
    as_of: AsOf | None = None
    history_rule: HistoryRule | None = None
    label: str = "latest"
    horizon_s: int | None = None


def days_text(age_s: float) -> str:
    """Write an age: 5 hours, 1 day, 3.5 days, 12 days."""
    days = age_s / 86_400
    if days < 1:
        hours = round(24 * days)
        return f"{hours} hour{'' if hours == 1 else 's'}"
    shown = f"{days:,.0f}" if days >= 10 else f"{days:.1f}".removesuffix(".0")
    return f"{shown} day{'' if shown == '1' else 's'}"


def forecast_of(label: str, horizon_s: int | None) -> str:
    """Say what a model forecasts: views at 7 days; latest count, as if 12 days old."""
    kind, _, age = label.partition(":")
    if kind == "at":
        return f"views at {age if horizon_s is None else days_text(horizon_s)}"
    count = f"first count from {age} on" if kind == "from" else "latest count"
    return count if horizon_s is None else f"{count}, as if {days_text(horizon_s)} old"


@dataclass(frozen=True)
class FeatureSetFacts:
    """A feature set: one way to extract one kind of feature."""

    id: int
    kind: str
    config: Mapping[str, Any]
    config_hash: str
    extractor: str
    extractor_version: str
    weights_sha256: str | None
    input_set_id: int | None


@dataclass(frozen=True)
class PredictionFacts:
    """One predicted count, in thousands, with the truth as far as it was known.

    low_k, high_k: the ends of the model's 80 % interval; None where it states none. horizon_s: the
    age of the video that it is a forecast of; None: none is stated. posted_at: the best known time
    of upload, aware; a forecast of a known age and time, made before the video comes to that age,
    is entered into the ledger.
    """

    video_id: int
    predicted_k: float
    actual_k: float | None
    observation_id: int | None
    pred_quartile: int | None
    actual_quartile: int | None
    inputs_sha256: str
    part: str
    low_k: float | None = None
    high_k: float | None = None
    horizon_s: int | None = None
    posted_at: datetime | None = None


@dataclass(frozen=True)
class HashtagTodo:
    """A hashtag to list, and the topics it stands for."""

    name: str
    topics: tuple[str, ...]


@dataclass(frozen=True)
class AccountTodo:
    """An account to list: its keyed hash, and the name that its page is asked for with."""

    author_key: str
    handle: str


@dataclass(frozen=True)
class RefreshTodo:
    """A video to look at again."""

    video_id: int
    tiktok_id: str


@dataclass(frozen=True)
class FeatureRef:
    """Where one feature is; `status` is "missing" when it has not even been enrolled."""

    status: str
    uri: str | None
    row: int | None
    sha256: str | None


@dataclass(frozen=True)
class KnownFeature(FeatureRef):
    """One feature with what its extractor told of it, and why it is not there where it is not."""

    detail: Mapping[str, Any]
    error_code: str | None
    error: str | None


@dataclass(frozen=True, slots=True)
class KnownAccount:
    """What is known of a post's account by the rule that a model goes by; None: nobody said.

    The account's likes are not here: they hold those of the post itself.
    """

    n_followers: int | None = None
    n_following: int | None = None
    n_posts: int | None = None
    is_verified: bool | None = None
    bio_chars: int | None = None
    region: str | None = None


@dataclass(frozen=True)
class PostFacts:
    """What a model may read of a post beside its picture and sound; None: nobody said.

    There is no field for likes, shares, comments or anything else that only comes after the post:
    what has no name here cannot become a feature. author, sound: ids in the catalog. account and
    n_sound_videos are as of a moment, by the rule that they were read with (AsOf).
    posted_at: aware, the best known time of upload. transcript: what is said in the video, ""
    where nothing is, None where nobody listened; screen: what is read on it, the same way.
    language and speech_s are of the transcript, those of the caption are in traits.
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
    screen: str | None = None
    topics: tuple[str, ...] = ()
    traits: Traits | None = None
    account: KnownAccount | None = None
    sound: int | None = None
    is_sound_original: bool | None = None
    n_sound_videos: int | None = None


@dataclass(frozen=True, slots=True)
class PastPost:
    """A post that later posts may be judged by: who, with what, and what it got.

    known_at: when its count may be known, by a HistoryRule; a post of that moment or earlier does
    not know it. author, sound: ids in the catalog.
    """

    video_id: int
    author: int | None
    sound: int | None
    hashtags: tuple[str, ...]
    posted_at: datetime
    known_at: datetime
    views_k: float


@dataclass(frozen=True, slots=True)
class PastOf:
    """Whose past is asked for: the author, the sound and the hashtags of one post.

    before: the moment that newest ones have to be posted before; None: any.
    """

    author: int | None = None
    sound: int | None = None
    hashtags: tuple[str, ...] = ()
    before: datetime | None = None


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """One labelled video of a split with its features by kind.

    age_s: of the video that its label is of; None: nobody knows when it was posted.
    """

    video_id: int
    tiktok_id: str
    part: str
    views_k: float
    features: Mapping[str, FeatureRef]
    age_s: float | None = None


@dataclass(frozen=True)
class ScoreRow:
    """One video to score; `part` is where it stood for the model, "new" outside its split.

    posted_at: the best known time of upload. label_age_s: of a member of the split, the video's age
    that its label is of; None: not known.
    """

    video_id: int
    tiktok_id: str
    features: Mapping[str, FeatureRef]
    actual_k: float | None
    observation_id: int | None
    part: str
    posted_at: datetime | None = None
    label_age_s: float | None = None


@dataclass(frozen=True, slots=True)
class ScoredRow:
    """One prediction and the truth, in thousands, as its run knew both.

    author: the account's id; None: nobody knows.
    """

    part: str
    actual_k: float
    predicted_k: float
    low_k: float | None
    high_k: float | None
    pred_quartile: int | None
    author: int | None


@dataclass(frozen=True)
class ClipRef(FeatureRef):
    """One finished clip and the part its video plays in pre-training."""

    video_id: int
    part: str


def without_names(sound: SoundFacts | None) -> SoundFacts | None:
    """Return a sound without the name of the person whose own it is.

    An original sound is called after its author: "original sound - somebody".
    """
    if sound is None or sound.is_original is False:
        return sound
    if sound.is_original is None and sound.title and not OWN_TITLE.search(sound.title):
        return sound
    return replace(sound, title=None, author=None)


def posted_at_of(video: Candidate) -> datetime | None:
    """Best known upload time: what the page said, else the second inside the id, else None.

    The upper 32 bits of an id are its upload second; an id that says something absurd is not
    such an id.
    """
    if video.posted_at is not None:
        return video.posted_at
    if video.tiktok_id.isascii() and video.tiktok_id.isdigit():
        second = int(video.tiktok_id) >> 32
        if OLDEST_UPLOAD.timestamp() < second < 2**32:
            told = datetime.fromtimestamp(second, tz=UTC)
            if told <= video.first_seen_at + timedelta(days=1):
                return told
    return None


def uploaded_at(video: Candidate) -> datetime:
    """Best known upload time; where nobody knows one, the first sight."""
    return posted_at_of(video) or video.first_seen_at
