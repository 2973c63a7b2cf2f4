"""What must be so after simulated nights: slots, forecasts, judgements, and the replica's own law.

Nothing here asks the program: rows are read from the catalog's file, counts from the law.
"""

import math
import re
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from catalog.ages import AgeRule, CountAtAge, count_at_age
from catalog.facts import Observed
from scraper.replica.content import Content, ReplicaConfig, ReplicaVideo, build_content
from scraper.replica.growth import vanishing_day, views_at_age
from scraper.replica.items import round_count

DAY_S = 86_400
AGES_D = (1, 7, 30)
# A count is read some seconds before or after the moment that is stored with it.
READ_S = 30.0
JOURNAL = ("lease_taken_over", "run_lost", "run_resumed", "job_failed", "schedule_missed")
LEFT_OVER = re.compile(r"\.(part|tmp)\b|^\.tmp")


@dataclass
class Findings:
    """Numbers to print, what was off from the law, and what is not as it must be."""

    facts: dict[str, Any] = field(default_factory=dict)
    against_law: dict[str, dict[str, Any]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def measured(self, what: str, off: Sequence[float], inside: Sequence[bool]) -> None:
        """Note differences from the law in ln views, and how often it lay within the bounds."""
        self.against_law[what] = {**spread(off), "in bounds": f"{sum(inside)}/{len(inside)}"}

    def must(self, what: str, bad: Iterable[object]) -> None:
        """Note what must not be there, with a few examples."""
        found = list(bad)
        if found:
            self.wrong.append(f"{what}: {len(found)}, such as {found[:3]}")


class Seen(NamedTuple):
    """A video's row beside what the site has of it."""

    video_id: int
    video: ReplicaVideo
    posted_at: datetime


class Nights:
    """The catalog after the nights, and the site they looked at."""

    def __init__(self, data: Path, content: Content) -> None:
        self.data, self.content = data, content
        self._rows = sqlite3.connect(f"file:{data / 'catalog.db'}?mode=ro", uri=True)
        posts = {
            row[0]: Seen(row[0], content.by_id[row[1]], moment(row[2]))
            for row in self.ask("SELECT id, tiktok_id, posted_at FROM video")
        }
        self.new = {key: seen for key, seen in posts.items() if seen.video.is_new}
        self.counts: dict[int, list[Observed]] = defaultdict(list)
        self._by_count: dict[int, Observed] = {}
        for key, video_id, at, views_k, step_k in self.ask(
            "SELECT id, video_id, observed_at, views_k, step_k FROM view_observation"
            " WHERE views_k IS NOT NULL ORDER BY video_id, observed_at"
        ):
            one = Observed(key, moment(at), views_k, step_k)
            self.counts[video_id].append(one)
            self._by_count[key] = one

    def ask(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        return self._rows.execute(sql, values).fetchall()

    def close(self) -> None:
        """Let go of the file."""
        self._rows.close()

    def at(self, count_id: int | None) -> datetime | None:
        """When a count was seen; None without one."""
        return None if count_id is None else self._by_count[count_id].observed_at


def moment(text: str) -> datetime:
    """Read a time as SQLite stores it."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def check(
    data: Path, site: ReplicaConfig, slots: Mapping[str, Sequence[str]], temporary: Path
) -> Findings:
    """Look at everything that must be so.

    slots: those that were due, by job. temporary: where programs put temporary files.
    """
    nights = Nights(data, build_content(site))
    found = Findings()
    try:
        check_slots(nights, slots, found)
        check_rest(nights, temporary, found)
        check_videos(nights, found)
        check_counts(nights, found)
        check_forecasts(nights, found)
        check_judgements(nights, found)
        check_ages(nights, found)
    finally:
        nights.close()
    return found


def check_slots(nights: Nights, slots: Mapping[str, Sequence[str]], found: Findings) -> None:
    """Each slot is done once, and of nights there is no other."""
    for job, due in slots.items():
        rows = nights.ask(
            "SELECT slot, status FROM run WHERE kind = ? AND slot IS NOT NULL ORDER BY id", job
        )
        done = Counter(slot for slot, status in rows if status in ("ok", "partial"))
        found.must(f"{job}: slots not done", sorted(set(due) - done.keys()))
        found.must(f"{job}: slots done twice", (slot for slot, n in done.items() if n > 1))
        if job == "nightly":
            found.must("nights that nobody planned", sorted(done.keys() - set(due)))
        runs = Counter(status for _slot, status in rows)
        found.facts[f"slots of {job}"] = {"due": len(due), "done": len(done), "runs": dict(runs)}


def check_rest(nights: Nights, temporary: Path, found: Findings) -> None:
    """Nothing runs, nothing is held, nothing is broken or left over."""
    found.must("runs still running", nights.ask("SELECT id FROM run WHERE status = 'running'"))
    for table in ("feature", "media_file"):
        held = f"SELECT video_id FROM {table} WHERE lease_owner IS NOT NULL"
        found.must(f"leases of {table} still held", nights.ask(held))
    found.must("daemons' leases held", nights.ask("SELECT name FROM job_lease WHERE owner <> ''"))
    answer = nights.ask("PRAGMA integrity_check")
    found.must("integrity_check", [] if answer == [("ok",)] else answer)
    found.must("foreign keys broken", nights.ask("PRAGMA foreign_key_check"))
    left = [path for path in nights.data.rglob("*") if LEFT_OVER.search(path.name)]
    left += [path for path in temporary.rglob("p*") if path.is_dir() and (path / "u").exists()]
    found.must("files left over", left)
    files = {row[0] for row in nights.ask("SELECT uri FROM media_file WHERE uri IS NOT NULL")}
    there = {
        path.relative_to(nights.data).as_posix() for path in (nights.data / "media").rglob("*.mp4")
    }
    found.must("files that no row knows", there - files)
    found.must("rows without their file", files - there)
    acts = nights.ask("SELECT code, count(*) FROM event WHERE code LIKE 'challenger_%' GROUP BY 1")
    found.facts["challengers"] = dict(acts)
    marks = ", ".join("?" * len(JOURNAL))
    told = f"SELECT code, count(*) FROM event WHERE code IN ({marks}) GROUP BY code"
    found.facts["journal"] = dict(nights.ask(told, *JOURNAL))
    alerts = nights.ask("SELECT subject FROM event WHERE code = 'alert_raised'")
    found.facts["alerts"] = dict(Counter(subject.rpartition(" ")[2] for (subject,) in alerts))


def check_videos(nights: Nights, found: Findings) -> None:
    """Every post that a night could see is there, with its file and a forecast."""
    # Seen by the last listing of a whole night, so it is known.
    last = nights.ask(
        "SELECT max(started_at) FROM run WHERE kind = 'scrape' AND status = 'ok' AND n_done > 0"
        " AND parent_id IN (SELECT id FROM run WHERE status IN ('ok', 'partial'))"
    )[0][0]
    listings = [
        moment(at)
        for (at,) in nights.ask(
            "SELECT started_at FROM run WHERE kind = 'scrape' AND status = 'ok' AND n_done > 0"
        )
    ]
    known = {seen.video.tiktok_id for seen in nights.new.values()}
    due = [
        video
        for video in nights.content.to_come
        if any(video.created_at < at < gone_at(video) for at in listings)
    ]
    found.must("posts not known", {video.tiktok_id for video in due} - known)
    first = {row[0]: row[1] for row in nights.ask("SELECT id, tiktok_id FROM video")}
    wanted = {video.tiktok_id for video in due if gone_at(video) > moment(last)}
    with_file = {
        first[row[0]] for row in nights.ask("SELECT video_id FROM media_file WHERE status = 'ok'")
    }
    found.must("posts without their file", wanted - with_file)
    scored = {first[row[0]] for row in nights.ask("SELECT DISTINCT video_id FROM prediction")}
    found.must("posts without a forecast", wanted - scored)
    found.facts["posts"] = {"to see": len(due), "known": len(known), "scored": len(scored & known)}


def gone_at(video: ReplicaVideo) -> datetime:
    """When a new post is removed from the site."""
    day = vanishing_day(video)
    return datetime.max.replace(tzinfo=UTC) if day is None else video.created_at + timedelta(day)


def check_counts(nights: Nights, found: Findings) -> None:
    """Every count of a new post is what the law gives at a moment about when it was seen."""
    bad, n_counts = [], 0
    for seen in nights.new.values():
        if seen.posted_at != seen.video.created_at:
            bad.append((seen.video.tiktok_id, seen.posted_at))
        for one in nights.counts[seen.video_id]:
            age_s = (one.observed_at - seen.posted_at).total_seconds()
            around = [views_at_age(seen.video, age_s + at) for at in (-READ_S, READ_S)]
            low, high = round_count(min(around)), round_count(max(around))
            n_counts += 1
            if not low <= round((one.views_k or 0.0) * 1_000) <= high:
                bad.append((seen.video.tiktok_id, one.views_k, low, high))
    found.must("counts that the law does not give", bad)
    found.facts["counts of new posts"] = n_counts


def check_forecasts(nights: Nights, found: Findings) -> None:
    """A model version forecasts a video once."""
    twice = nights.ask(
        "SELECT p.video_id, r.model_version_id, count(*) FROM prediction p"
        " JOIN run r ON r.id = p.run_id GROUP BY 1, 2 HAVING count(*) > 1"
    )
    found.must("videos that a version forecast twice", twice)
    by_model = nights.ask(
        "SELECT m.name || ':' || m.version, m.label, count(*), sum(p.horizon_s IS NOT NULL)"
        " FROM prediction p JOIN run r ON r.id = p.run_id"
        " JOIN model_version m ON m.id = r.model_version_id GROUP BY 1, 2 ORDER BY m.id"
    )
    found.facts["forecasts"] = [
        {"model": name, "label": label, "n": n, "with_horizon": n_aged}
        for name, label, n, n_aged in by_model
    ]


def check_judgements(nights: Nights, found: Findings) -> None:
    """What was forecast before its age is judged once, by later counts, as the law has it."""
    rule = age_rule(nights)
    entered = {(row[0], row[1]) for row in nights.ask("SELECT run_id, video_id FROM judgement")}
    missing = []
    for run_id, video_id, made_at, horizon_s in nights.ask(
        "SELECT run_id, video_id, made_at, horizon_s FROM prediction WHERE horizon_s IS NOT NULL"
    ):
        seen = nights.new.get(video_id)
        if seen is None or made_at is None:
            continue
        due_at = seen.posted_at + timedelta(seconds=horizon_s)
        if moment(made_at) < due_at and (run_id, video_id) not in entered:
            missing.append((run_id, video_id))
    found.must("forecasts that no row waits for", missing)
    ends = nights.ask(
        "SELECT max(j.started_at) FROM run j WHERE j.kind = 'judge' AND j.status IN ('ok',"
        " 'partial')"
    )
    last = moment(ends[0][0]) if ends[0][0] else None
    wrong: dict[str, list[Any]] = defaultdict(list)
    off, errors, inside, statuses = [], [], [], Counter[str]()
    for row in nights.ask(
        "SELECT j.video_id, j.horizon_s, j.made_at, j.due_at, j.status, j.truth_k, j.truth_low_k,"
        " j.truth_high_k, j.before_id, j.after_id, j.error_log, j.judged_at, p.predicted_k"
        " FROM judgement j JOIN prediction p ON p.run_id = j.run_id AND p.video_id = j.video_id"
    ):
        video_id, horizon_s, made_at, due_at, status = row[:5]
        truth_k, low_k, high_k, before, after, error_log, judged_at, predicted_k = row[5:]
        seen = nights.new[video_id]
        made, due, name = moment(made_at), moment(due_at), (video_id, horizon_s)
        statuses[status] += 1
        if due != seen.posted_at + timedelta(seconds=horizon_s) or made >= due:
            wrong["ledger rows due at another time"].append(name)
        if status == "open":
            closes_at = seen.posted_at + timedelta(seconds=horizon_s * (1 + rule.reach))
            if last is not None and closes_at < last:
                wrong["ledger rows that should be closed"].append(name)
            continue
        told = count_at_age(
            [one for one in nights.counts[video_id] if one.observed_at <= moment(judged_at)],
            seen.posted_at,
            horizon_s,
            now=moment(judged_at),
            rule=rule,
            after=made,
        )
        if moment(judged_at) < due:
            wrong["judged before the age"].append(name)
        if status == "unobserved":
            if isinstance(told, CountAtAge):
                wrong["closed without a truth that was there"].append(name)
            continue
        if any((at := nights.at(one)) is not None and at <= made for one in (before, after)):
            wrong["judged by a count seen before the forecast"].append(name)
        if not isinstance(told, CountAtAge) or abs(told.views_k - truth_k) > 1e-9 * (1 + truth_k):
            wrong["another truth than the counts give"].append((*name, truth_k, told))
        stated = math.log1p(predicted_k * 1_000) - math.log1p(truth_k * 1_000)
        if abs(stated - error_log) > 1e-9:
            wrong["errors that are not forecast less truth"].append((*name, stated, error_log))
        law = views_at_age(seen.video, horizon_s)
        error_by_law = math.log1p(predicted_k * 1_000) - math.log1p(law)
        off.append(error_log - error_by_law)
        errors.append(error_by_law)
        inside.append(low_k * 1_000 - 0.5 <= law <= high_k * 1_000 + 0.5)
    for what, bad in wrong.items():
        found.must(what, bad)
    found.facts["ledger"] = {
        "rows": dict(statuses),
        "error by the law, median |ln|": _median_abs(errors),
        "unobserved": _why_unobserved(nights),
    }
    found.measured("errors in the ledger", off, inside)


def check_ages(nights: Nights, found: Findings) -> None:
    """Views at an age against the law: how far off, and how often within the stated bounds."""
    rule = age_rule(nights)
    last = nights.ask("SELECT max(observed_at) FROM view_observation")[0][0]
    for days in AGES_D:
        age_s = days * DAY_S
        old = [
            seen
            for seen in nights.new.values()
            if seen.posted_at + timedelta(seconds=age_s * (1 + rule.reach)) < moment(last)
        ]
        rows = {
            row[0]: row[1:]
            for row in nights.ask(
                "SELECT video_id, views_k, low_k, high_k, method FROM views_at_age WHERE age_s = ?",
                age_s,
            )
            if row[0] in nights.new
        }
        off, inside = defaultdict(list), defaultdict(list)
        for video_id, (views_k, low_k, high_k, method) in rows.items():
            law = views_at_age(nights.new[video_id].video, age_s)
            off[method].append(math.log1p(views_k * 1_000) - math.log1p(law))
            inside[method].append(low_k * 1_000 - 0.5 <= law <= high_k * 1_000 + 0.5)
        without = [seen for seen in old if seen.video_id not in rows]
        gone = sum(gone_at(s.video) < s.posted_at + timedelta(seconds=age_s) for s in without)
        found.facts[f"views at {days} d"] = {
            "old enough": len(old),
            "gone before": gone,
            "not seen near it": len(without) - gone,
        }
        for method in sorted(off):
            found.measured(f"views at {days} d, {method}", off[method], inside[method])


def age_rule(nights: Nights) -> AgeRule:
    """The rule that the catalog went by."""
    rows = nights.ask("SELECT reach, tolerance FROM reported_age LIMIT 1")
    return AgeRule(*rows[0]) if rows else AgeRule()


def spread(values: Sequence[float]) -> dict[str, float]:
    """A distribution in a few numbers."""
    if not values:
        return {"n": 0}
    quantiles = np.quantile(values, (0.05, 0.5, 0.95))
    return {
        "n": len(values),
        "p5": round(float(quantiles[0]), 4),
        "median": round(float(quantiles[1]), 4),
        "p95": round(float(quantiles[2]), 4),
        "largest": round(float(np.max(np.abs(values))), 4),
    }


def _why_unobserved(nights: Nights) -> dict[str, int]:
    rows = nights.ask("SELECT video_id, horizon_s FROM judgement WHERE status = 'unobserved'")
    reasons: Counter[str] = Counter()
    for video_id, horizon_s in rows:
        seen = nights.new[video_id]
        is_gone = gone_at(seen.video) < seen.posted_at + timedelta(seconds=horizon_s)
        reasons["gone before" if is_gone else "not seen near it"] += 1
    return dict(reasons)


def _median_abs(values: Sequence[float]) -> float | None:
    return round(float(np.median(np.abs(values))), 3) if values else None


def stages(nights: Nights, slots: Iterable[str]) -> dict[str, dict[str, float]]:
    """Units and seconds of each stage: the medians over these nights."""
    units: dict[str, list[float]] = defaultdict(list)
    seconds: dict[str, list[float]] = defaultdict(list)
    for slot in slots:
        rows = nights.ask(
            "SELECT c.kind, c.n_done, (julianday(c.finished_at) - julianday(c.started_at)) * 86400"
            " FROM run c JOIN run n ON n.id = c.parent_id"
            " WHERE n.slot = ? AND n.status IN ('ok', 'partial')",
            slot,
        )
        for kind, n_done, took_s in rows:
            units[kind].append(n_done)
            seconds[kind].append(took_s)
    return {
        kind: {
            "nights": len(units[kind]),
            "units": float(np.median(units[kind])),
            "seconds": round(float(np.median(seconds[kind])), 2),
        }
        for kind in units
    }
