"""The forecast of one file as a card for people."""

import math
from collections.abc import Sequence

from model.forecast.card import ForecastCard, Refused, plain

#: Where a forecast of each quarter stands among the training videos.
QUARTERS = ("the lowest", "the second", "the third", "the highest")
BESIDE = {
    "train_mean": "the mean of the training videos",
    "train_median": "the median of the training videos",
    "geometric_mean": "the geometric mean of the training videos",
}
CAPTION_CHARS = 60
HASHTAGS_SHOWN = 8
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
        ("forecast", f"{views_text(card.views_k)} views, {_interval(card)}"),
        ("standing", _standing(card)),
        ("quarter", _quarter(card)),
        *_likes(card),
        *_moves(card),
        *_inputs(card),
        *[("missing", f"{kind}: {plain(why)}") for kind, why in card.absent.items()],
        ("model", f"{plain(card.model.name)} version {card.model.version} ({card.model.kind})"),
        *[("", text) for text in _track_record(card)],
        ("seconds", ", ".join(f"{what} {s:.2f}" for what, s in card.seconds.items())),
    ]
    shown, last = [plain(card.file)], ""
    for name, text in lines:
        shown.append(f"  {name if name != last else '':<10}{text}")
        last = name or last
    return "\n".join(shown)


def refused_text(refused: Refused) -> str:
    """Write in two lines why a file has no forecast."""
    return f"{plain(refused.file)}\n  {'no forecast':<12}{plain(refused.message, 500)}"


def _interval(card: ForecastCard) -> str:
    if card.low_k is None or card.high_k is None:
        return "this model states no interval"
    return f"80 % interval {views_text(card.low_k)} to {views_text(card.high_k)}"


def _standing(card: ForecastCard) -> str:
    standing = card.standing
    if standing.percentile is None:
        return "no video of the catalog has a readable count to compare with"
    more = f"more than {standing.percentile:.0f} % of the {standing.n:,} "
    if not standing.hashtags:
        return f"{more}videos of the catalog with a readable count"
    return f"{more}videos with {_names(standing.hashtags)}"


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
        return [("similar", "not looked for, or this model looks at no other videos")]
    if not card.similar:
        return [("similar", "the model knows no other video")]
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


def _inputs(card: ForecastCard) -> list[tuple[str, str]]:
    length = "unknown length" if card.duration_s is None else f"{card.duration_s:.1f} s"
    shown = [("file", f"{length}, {card.width_px}x{card.height_px}")]
    if card.caption:
        shown.append(("caption", plain(card.caption, CAPTION_CHARS)))
    if card.hashtags:
        shown.append(("hashtags", _names(card.hashtags)))
    shown.append(("posted", card.posted_at or "unknown"))
    if card.transcript:
        shown.append(("says", plain(card.transcript, CAPTION_CHARS)))
    if card.known_as is not None:
        trained = card.known_part == "train"
        note = "; the model was trained on it: this is no forecast" if trained else ""
        shown.append(("known", f"this file is video {plain(card.known_as)} of the catalog{note}"))
    return shown


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
