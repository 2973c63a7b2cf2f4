"""A card as JSON values: everything on it, exact and under one name each."""

from dataclasses import asdict
from typing import Any

from catalog.errors import name_text
from catalog.facts import forecast_of
from model.forecast.card import ForecastCard, Refused, plain
from model.forecast.opening_facts import Measured
from model.forecast.ranking import Ranking
from model.forecast.what_if import SMALLEST_SHARE, WhatIf


def card_document(card: ForecastCard) -> dict[str, Any]:
    """Give the whole card as JSON values; ids are text, counts are thousands, nothing is rounded.

    Texts are as they were given, but that no character is a control or half a pair.
    """
    record = card.record
    return {
        "file": name_text(card.file),
        "status": "ok",
        "warnings": [
            {
                "code": caution.code,
                "part": caution.part,
                "message": plain(caution.message, 1000),
                "is_partial": caution.is_partial,
            }
            for caution in card.cautions
        ],
        "model": {
            "name": card.model.name,
            "version": card.model.version,
            "kind": card.model.kind,
            "objective": card.model.objective,
            "shuffled_labels": card.model.is_shuffled,
            "as_of": card.model.as_of,
            "history": card.model.history,
            "label": card.model.label,
            "horizon_s": card.model.horizon_s,
            "forecasts": forecast_of(card.model.label, card.model.horizon_s),
        },
        "views_k": card.views_k,
        "low_k": card.low_k,
        "high_k": card.high_k,
        "quartile": card.quartile,
        "quartile_edges_k": list(card.edges_k),
        "percentile": card.standing.percentile,
        "comparable": {
            "n": card.standing.n,
            "sharing": [plain(name) for name in card.standing.hashtags] or None,
            "median_age_days": card.standing.age_d,
        },
        "among_own": None
        if card.among_own is None
        else {
            "percentile": card.among_own.percentile,
            "n": card.among_own.n,
            "median_age_days": card.among_own.age_d,
            "wanted_age_days": card.among_own.wanted_age_d,
        },
        "like_it": None
        if card.like_it is None
        else {"n": card.like_it.n, "p10_k": card.like_it.low_k, "p90_k": card.like_it.high_k},
        "similar_asked": card.is_similar_asked,
        "similar": None
        if card.similar is None
        else [
            {
                "tiktok_id": plain(video.tiktok_id),
                "url": plain(video.url, 2_000),
                "caption": plain(video.caption, 10_000),
                "views_k": video.views_k,
                "similarity": video.similarity,
            }
            for video in card.similar
        ],
        "likeness": dict(card.likeness),
        "opening": {
            "against": card.opening_against,
            "facts": [_measured(one) for one in card.opening],
        },
        "what_if": None if card.what_if is None else _what_if(card.what_if),
        "moved_by": {move.modality: move.factor for move in card.moves},
        "inputs": {
            "read": list(card.read),
            "absent": {kind: plain(why) for kind, why in card.absent.items()},
            "duration_s": card.duration_s,
            "width_px": card.width_px,
            "height_px": card.height_px,
            "caption": plain(card.caption, 10_000),
            "hashtags": [plain(name) for name in card.hashtags],
            "posted_at": card.posted_at,
            "transcript": None if card.transcript is None else plain(card.transcript, 10_000),
            "language": card.language,
            "account": None if card.account is None else asdict(card.account),
        },
        "known_video": card.known_as,
        "known_part": card.known_part,
        "model_record": {
            "verdict": record.verdict,
            "part": record.part,
            "n": record.n,
            "log_mae": record.log_mae,
            "best_constant": record.best_constant,
            "best_constant_log_mae": record.best_constant_log_mae,
            "spearman": record.spearman,
            "spearman_low": record.spearman_low,
            "spearman_high": record.spearman_high,
            "coverage_80": record.coverage_80,
        },
        "seconds": dict(card.seconds),
    }


def ranking_document(ranking: Ranking) -> dict[str, Any]:
    """Give a ranking as JSON values; p_beats has a row for each file, in the order of `files`."""
    shared = ranking.shared
    return {
        "files": [name_text(file) for file in ranking.files],
        "places": list(ranking.order),
        "views_k": list(ranking.views_k),
        "p_beats": None if ranking.chances is None else [list(row) for row in ranking.chances],
        "error_correlation": None if shared is None else shared.correlation,
        "measured_on_pairs": None if shared is None else shared.n_pairs,
        "measured_on_authors": None if shared is None else shared.n_authors,
    }


def refused_document(refused: Refused) -> dict[str, Any]:
    """Give a file without a forecast as JSON values."""
    return {
        "file": name_text(refused.file),
        "status": "failed",
        "code": refused.code,
        "message": plain(refused.message, 1000),
    }


def _measured(one: Measured) -> dict[str, Any]:
    told = one.association
    return {
        "name": one.fact.name,
        "of": one.fact.kind,
        "words": one.fact.words,
        "unit": one.fact.unit or None,
        "value": one.value,
        "percentile": one.percentile,
        "finding": told.finding,
        "n": told.n,
        "n_authors": told.n_authors,
        "rank_correlation": told.correlation,
        "low": told.low,
        "high": told.high,
    }


def _what_if(found: WhatIf) -> dict[str, Any]:
    return {
        "smallest_share": SMALLEST_SHARE,
        "reads_post": found.reads_post,
        "hours_factor": found.hours_factor,
        "error_factor": found.error_factor,
        "alternatives": [
            {
                "sort": one.sort,
                "what": plain(one.what, 10_000),
                "views_k": one.views_k,
                "factor": one.factor,
                "is_small": one.is_small,
            }
            for one in found.alternatives
        ],
    }
