"""A card laid out for people: one line a fact, in words, with counts as they are read."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

from catalog.errors import name_text
from catalog.facts import KnownAccount, days_text, forecast_of
from model.forecast.card import ForecastCard, Refused, plain
from model.forecast.opening_facts import Against, Measured
from model.forecast.ranking import Ranking
from model.forecast.what_if import SMALLEST_SHARE, Sort, WhatIf

#: Where a forecast of each quarter stands among the training videos.
QUARTERS = ("the lowest", "the second", "the third", "the highest")
BESIDE = {
    "train_mean": "the mean of the training videos",
    "train_median": "the median of the training videos",
    "geometric_mean": "the geometric mean of the training videos",
}
CAPTION_CHARS = 60
DAY_S = 86_400
HASHTAGS_SHOWN = 8
ALTERNATIVES: Final[Mapping[Sort, str]] = {
    "without hashtag": "without #{}",
    "with hashtag": "with #{}",
    "caption": "with the caption {}",
}
EFFECTS = {"more": "more", "fewer": "fewer"}
SMALLEST_MOVE = 0.005  # on the log scale: what would be shown as × 1.00 moved nothing


def views_text(views_k: float) -> str:
    """Write thousands of views as people read them: 987, 12.3K, 1.2M."""
    views = views_k * 1000
    if views < 999.5:
        return f"{views:.0f}"
    for unit, size in (("K", 1e3), ("M", 1e6), ("B", 1e9)):
        # 999,960 is 1M and not 1000K: what is rounded up past the unit belongs to the next.
        if views < 999.95 * size or unit == "B":
            return f"{views / size:,.1f}".removesuffix(".0") + unit
    raise AssertionError(views)


def card_text(card: ForecastCard) -> str:
    """Lay a card out for people, one line a fact."""
    lines = [
        *[("warning", plain(caution.message, 500)) for caution in card.cautions],
        ("forecast", f"{views_text(card.views_k)} views, {_interval(card)}"),
        ("", _forecast_of(card)),
        ("standing", _standing(card)),
        *_among_own(card),
        ("quarter", _quarter(card)),
        *_likes(card),
        *_like_it(card),
        *_moves(card),
        *_opening(card),
        *_what_if(card),
        *_inputs(card),
        *[("missing", f"{kind}: {plain(why)}") for kind, why in card.absent.items()],
        ("model", _model(card)),
        *[("", text) for text in _track_record(card)],
        ("seconds", ", ".join(f"{what} {s:.2f}" for what, s in card.seconds.items())),
    ]
    shown, last = [name_text(card.file)], ""
    for name, text in lines:
        shown.append(f"  {name if name != last else '':<10}{text}")
        last = name or last
    return "\n".join(shown)


def refused_text(refused: Refused) -> str:
    """Write in two lines why a file has no forecast."""
    return f"{name_text(refused.file)}\n  {'no forecast':<12}{plain(refused.message, 500)}"


def ranking_text(ranking: Ranking) -> str:
    """Lay a ranking out: of two files one line, of more the order with each one's chance."""
    files, chances = [name_text(file) for file in ranking.files], ranking.chances
    lines = []
    if chances is None:
        lines = [
            f"{place}. {views_text(k):>7}  {file}"
            for place, (file, k) in enumerate(zip(files, ranking.views_k, strict=True), 1)
        ]
        lines.insert(0, "ranking: without intervals nobody can say how sure it is")
    elif len(files) == 2:
        lines = [f"ranking: {files[0]} gets more than {files[1]} in {_percent(chances[0][1])}"]
    else:
        lines.append("ranking")
        for place, (file, k) in enumerate(zip(files, ranking.views_k, strict=True)):
            beats = ""
            if place + 1 < len(files):
                beats = f"  more than the next in {_percent(chances[place][place + 1])}"
            lines.append(f"{place + 1}. {views_text(k):>7}  {file}{beats}")
    if chances is not None:
        lines.append(_sureness(ranking))
    return "\n  ".join(lines)


def _model(card: ForecastCard) -> str:
    model = card.model
    said = f"{plain(model.name)} version {model.version} ({model.kind})"
    if model.as_of == "crawl":
        said += "; learned from accounts and sounds as they were seen after the posts, too"
    return said


def _forecast_of(card: ForecastCard) -> str:
    said = forecast_of(card.model.label, card.model.horizon_s)
    return said if card.model.horizon_s is not None else f"{said}; of no stated age"


def _interval(card: ForecastCard) -> str:
    if card.low_k is None or card.high_k is None:
        return "this model states no interval"
    return f"80 % interval {views_text(card.low_k)} to {views_text(card.high_k)}"


def _standing(card: ForecastCard) -> str:
    standing = card.standing
    if standing.percentile is None:
        return "no video of the catalog has a readable count to compare with"
    more = f"more than {standing.percentile:.0f} % of the {standing.n:,} "
    age = "" if standing.age_d is None else f", counted at {_days(standing.age_d)} (median)"
    if not standing.hashtags:
        return f"{more}videos of the catalog with a readable count{age}"
    return f"{more}videos with {_names(standing.hashtags)}{age}"


def _among_own(card: ForecastCard) -> list[tuple[str, str]]:
    own = card.among_own
    if own is None:
        return []
    last = "last post" if own.n == 1 else f"last {own.n} posts"
    age = "an age nobody knows" if own.age_d is None else f"{_days(own.age_d)} (median)"
    which = (
        "the newest counts"
        if own.wanted_age_d is None
        else f"those nearest to {_days(own.wanted_age_d)}"
    )
    return [
        (
            "",
            f"more than {own.percentile:.0f} % of the author's {last}, counted at {age}: {which}",
        )
    ]


def _like_it(card: ForecastCard) -> list[tuple[str, str]]:
    like = card.like_it
    if like is None:
        return []
    middle = "80" if like.n == 100 else "80 %"
    got = f"{views_text(like.low_k)} to {views_text(like.high_k)}"
    return [("", f"of {like.n} training videos like this the middle {middle} got {got}")]


def _days(days: float) -> str:
    return days_text(days * DAY_S)


def _quarter(card: ForecastCard) -> str:
    edges = ", ".join(views_text(edge) for edge in card.edges_k)
    if card.quartile is None:
        return "not known"
    text = f"{QUARTERS[card.quartile]} of four; the training videos' borders are {edges}"
    if card.model.objective == "quartile":
        text += "; the model names a quarter, the count is that quarter's median"
    return text


def _likes(card: ForecastCard) -> list[tuple[str, str]]:
    if card.similar is None:
        looks = "this model looks at no other videos"
        return [("similar", looks if card.is_similar_asked else "not asked for")]
    if not card.similar:
        return [("similar", "no video that the model knows is like it")]
    return [
        (
            "similar",
            f"{'–' if video.views_k is None else views_text(video.views_k):>7}  "
            f"likeness {video.similarity:.2f}  {plain(video.tiktok_id)}  "
            f"{plain(video.caption, CAPTION_CHARS)}".rstrip(),
        )
        for video in card.similar
    ]


def _moves(card: ForecastCard) -> list[tuple[str, str]]:
    moved = sorted(
        (move for move in card.moves if abs(math.log(move.factor)) >= SMALLEST_MOVE),
        key=lambda move: -abs(math.log(move.factor)),
    )
    if not moved:
        return [("moved by", "nothing: without any one input the forecast is about the same")]
    return [
        (
            "moved by",
            f"{move.modality}: × {move.factor:.2f} ({'up' if move.factor > 1 else 'down'})",
        )
        for move in moved
    ]


def _opening(card: ForecastCard) -> list[tuple[str, str]]:
    told = [one for one in card.opening if one.association.finding != "too few"]
    lines = [_measured(one, card.opening_against) for one in told]
    if any(one.association.finding in EFFECTS for one in told):
        lines.append("what goes with more views need not be what brings them")
    few = [f"{one.fact.words} {_value(one)}" for one in card.opening if one not in told]
    if few:
        lines.append(f"too few videos to tell what these do: {', '.join(few)}")
    return [("opening", line) for line in lines]


def _measured(one: Measured, against: Against) -> str:
    told = one.association
    shown = f"{one.fact.words}: {_value(one)}"
    if one.percentile is not None:
        shown += f" (more than {one.percentile:.0f} % of the catalog's)"
    n = f"{told.n:,} videos of {told.n_authors:,} authors"
    if told.finding not in EFFECTS:
        return f"{shown}; no effect found in {n}"
    than = "than the model forecast" if against == "forecast" else "than others"
    return (
        f"{shown}; videos with more of it got {EFFECTS[told.finding]} views {than} (rank "
        f"correlation {told.correlation:.2f}, {told.low:.2f} to {told.high:.2f}, {n})"
    )


def _value(one: Measured) -> str:
    return f"{one.value:.3g} {one.fact.unit}".rstrip()


def _what_if(card: ForecastCard) -> list[tuple[str, str]]:
    found = card.what_if
    if found is None:
        return []
    if not found.reads_post:
        return [("what if", "this model reads nothing of the post")]
    if not found.alternatives:
        return [("what if", "nothing to change: neither a time of posting nor a hashtag is given")]
    shown = [*_hours(found)]
    for sort, words in ALTERNATIVES.items():
        shown += [
            f"{words.format(plain(one.what, CAPTION_CHARS))}: × {one.factor:.2f}"
            for one in found.of(sort)
            if not one.is_small
        ]
    n_small = sum(one.is_small for one in found.alternatives if one.sort != "hour")
    if n_small:
        others = "1 other change" if n_small == 1 else f"{n_small} other changes"
        shown.append(f"{others} by less than {100 * SMALLEST_SHARE:.0f} %")
    shown.append("what the model has seen go together, not what would come of it")
    return [("what if", text) for text in shown]


def _hours(found: WhatIf) -> list[str]:
    hours = found.of("hour")
    if not hours:
        return []
    best, worst = hours[0], hours[-1]
    if best.is_small and worst.is_small:
        return [f"at no hour of the day it is {100 * SMALLEST_SHARE:.0f} % more or fewer"]
    error = ""
    if found.error_factor is not None:
        error = f"; its forecasts are off by a factor of {found.error_factor:.1f} on average"
    return [
        f"at {best.what}:00 UTC, the best hour: × {best.factor:.2f}; at {worst.what}:00, the "
        f"worst: × {worst.factor:.2f}",
        f"the hours differ by a factor of {found.hours_factor:.2f}{error}",
    ]


def _percent(chance: float) -> str:
    return f"{100 * chance:.0f} of 100 cases"


def _sureness(ranking: Ranking) -> str:
    shared = ranking.shared
    if shared is None:
        return (
            "as if their errors had nothing in common; drafts of one author share some, so it is "
            "closer to certain than stated"
        )
    return (
        f"with errors that correlate by {shared.correlation:.2f}, as measured on "
        f"{shared.n_pairs:,} pairs of held-out videos of one author ({shared.n_authors:,} authors)"
    )


def _inputs(card: ForecastCard) -> list[tuple[str, str]]:
    length = "unknown length" if card.duration_s is None else f"{card.duration_s:.1f} s"
    shown = [("file", f"{length}, {card.width_px}x{card.height_px}")]
    if card.caption:
        shown.append(("caption", plain(card.caption, CAPTION_CHARS)))
    if card.hashtags:
        shown.append(("hashtags", _names(card.hashtags)))
    shown.append(("posted", card.posted_at or "unknown"))
    if card.account is not None:
        shown.append(("account", _account(card.account)))
    if card.transcript:
        shown.append(("says", plain(card.transcript, CAPTION_CHARS)))
    if card.known_as is not None:
        trained = card.known_part == "train"
        note = "; the model was trained on it: this is no forecast" if trained else ""
        shown.append(("known", f"this file is video {plain(card.known_as)} of the catalog{note}"))
    return shown


def _account(account: KnownAccount) -> str:
    told = [
        f"{n:,} {what}"
        for n, what in (
            (account.n_followers, "followers"),
            (account.n_following, "following"),
            (account.n_posts, "posts"),
        )
        if n is not None
    ]
    if account.is_verified:
        told.append("verified")
    return ", ".join(told) or "in this catalog"


def _track_record(card: ForecastCard) -> list[str]:
    record = card.record
    said = []
    if card.model.is_shuffled:
        said.append("It was trained on other videos' counts, as a test: what it says is chance.")
    if record.verdict == "constant":
        return [*said, "It is a constant: it says the same of every video."]
    if record.part is None or record.log_mae is None or record.best_constant_log_mae is None:
        return [*said, "How good it is was never measured on videos it had not seen."]
    videos = f"{record.n:,} {'held-out' if record.part == 'holdout' else 'validation'} videos"
    beside = (
        f"log-MAE {record.log_mae:.3f} on {videos}, "
        f"{record.best_constant_log_mae:.3f} for {BESIDE[str(record.best_constant)]}"
    )
    verdicts = {
        "better": f"It beats every constant: {beside}.",
        "unclear": f"It is ahead of every constant, but chance may give as much: {beside}.",
        "not_better": f"It does not beat a constant: {beside}. Trust it no more.",
    }
    said.append(verdicts.get(record.verdict, f"{beside}."))
    if record.spearman is not None:
        ends = ""
        if record.spearman_low is not None and record.spearman_high is not None:
            ends = f" (95 %: {record.spearman_low:.2f} to {record.spearman_high:.2f})"
        said.append(f"Rank correlation there {record.spearman:.2f}{ends}.")
    if record.coverage_80 is not None:
        said.append(f"Its 80 % intervals held {100 * record.coverage_80:.0f} % of them.")
    return said


def _names(hashtags: Sequence[str]) -> str:
    shown = " ".join(f"#{plain(name, 40)}" for name in hashtags[:HASHTAGS_SHOWN])
    return shown if len(hashtags) <= HASHTAGS_SHOWN else f"{shown} …"
