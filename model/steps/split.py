"""Freeze who trains, validates and is held out, and tell what was frozen."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from catalog.ages import AgeRule, CountAtAge, Label, label_of, read_label
from catalog.facts import Candidate, LabelAtAge, Member, Observed, SplitFacts
from catalog.read.counts import labels_at_age, video_histories
from catalog.read.lookup import (
    SplitRow,
    find_split_row,
    newest_split,
    split_members,
)
from catalog.read.pending import first_videos, videos_to_split
from catalog.record.lineage import freeze_split
from catalog.schema.session import Catalog
from catalog.schema.types import utc_now
from catalog.work.runs import Outcome, RunInProgress, record_run
from model.split import (
    EQUAL_LABEL,
    SplitConfig,
    SplitSummary,
    assign_parts,
    label_place,
    summarise,
)

Labelled = tuple[Candidate, Observed, LabelAtAge | None]


def create_split(
    catalog: Catalog,
    config: SplitConfig,
    *,
    rule: AgeRule | None = None,
    name: str | None = None,
    if_missing: bool = False,
    parent_id: int | None = None,
) -> tuple[Outcome, SplitFacts]:
    """Freeze who trains, validates and is held out, with the label of each video.

    Videos without the label that the settings ask for are left out and counted, by why they have
    none. The same videos, labels and settings give the split that is already there. rule: of labels
    at an age, the default for None. if_missing: any split will do.
    """
    params = {"name": name, **stored_settings(config, rule or AgeRule())}
    with record_run(catalog, "split", params=params, parent_id=parent_id) as run:
        with catalog.read() as session:
            split = newest_split(session) if if_missing else None
        if split is None:
            name = name or f"{config.strategy}-{run.id}"
            split = _freeze(catalog, run, config, rule or AgeRule(), name)
        if split.created:
            run.done(sum(split.n_by_part.values()))
        else:
            run.skipped(split.name, "split_exists")
    return run.outcome, split


def show_split(
    catalog: Catalog, name: str | None, rule: AgeRule | None = None
) -> tuple[SplitRow, SplitSummary]:
    """Sum up the split of that name, the newest for None. Raises NotFound.

    Where its labels are the latest counts and of unequal age, the summary says how many videos
    would have a label of equal age, by the rule.
    """
    with catalog.read() as session:
        row = find_split_row(session, name)
        label = label_of(row.params)
        summary = summarise(split_members(session, row.id), label)
        if label.kind == "latest" and summary.is_unequal:
            found = labels_at_age(session, EQUAL_LABEL.age_s, now=utc_now(), rule=rule or AgeRule())
            n_equal = sum(isinstance(count, CountAtAge) for _video, count in found)
            summary = replace(summary, n_equal=n_equal)
        return row, summary


def stored_settings(config: SplitConfig, rule: AgeRule) -> dict[str, Any]:
    """Return the settings as the split keeps them; of a label at an age with its rule."""
    settings = config.to_json()
    if "label" in settings:
        settings |= {"reach": rule.reach, "tolerance": rule.tolerance}
    return settings


def _freeze(
    catalog: Catalog, run: RunInProgress, config: SplitConfig, rule: AgeRule, name: str
) -> SplitFacts:
    found = list(labelled(catalog, run, read_label(config.label), rule))
    first = None
    if config.strategy == "author":
        # Also those that are gone or without a count: nobody moves when theirs goes, or comes back.
        with catalog.read() as session:
            first = first_videos(session)
    parts = assign_parts([video for video, _label, _at in found], config, first_videos=first)
    members = [
        Member(video, parts[video.video_id], label, at_age) for video, label, at_age in found
    ]
    left_out = dict(sorted(run.outcome.codes.items()))
    with catalog.write() as session:
        return freeze_split(
            session,
            name=name,
            strategy=config.strategy,
            params=stored_settings(config, rule),
            members=members,
            told={"left_out": left_out} if left_out else None,
        )


def labelled(
    catalog: Catalog, run: RunInProgress, label: Label, rule: AgeRule
) -> Iterator[Labelled]:
    """Yield each video that may enter, and the count that is its label."""
    with catalog.read() as session:
        if label.kind == "latest":
            for video, latest in videos_to_split(session):
                yield video, latest, None
        elif label.kind == "from":
            for video, seen in video_histories(session):
                place = label_place(video, [one.observed_at for one in seen], label.age_s)
                if place is None:
                    run.skipped(video.tiktok_id, "no_label_yet")
                else:
                    yield video, seen[place], None
        else:
            at_age = labels_at_age(session, label.age_s, now=utc_now(), rule=rule)
            for video, count in at_age:
                if isinstance(count, CountAtAge):
                    yield video, *_of_age(count)
                else:
                    code = "label_no_posting_time" if count is None else f"label_{count}"
                    run.skipped(video.tiktok_id, code)


def _of_age(count: CountAtAge) -> tuple[Observed, LabelAtAge]:
    """Return a label at an age as a split keeps it: the count before, and the one after."""
    first = count.before or count.after
    assert first is not None  # a count at an age stands on at least one
    second = None if count.before is None else count.after
    beside = (None, None) if second is None else (second.id, second.observed_at)
    label = replace(first, views_k=count.views_k)
    return label, LabelAtAge(count.low_k, count.high_k, *beside)
