"""Freeze who trains, validates and is held out, and tell what was frozen."""

from collections.abc import Iterator

from catalog.facts import Candidate, Member, Observed, SplitFacts
from catalog.read.counts import video_histories
from catalog.read.lookup import (
    SplitRow,
    find_split_row,
    newest_split,
    split_members,
)
from catalog.read.pending import first_videos, videos_to_split
from catalog.record.lineage import freeze_split
from catalog.schema.session import Catalog
from catalog.work.runs import Outcome, RunInProgress, record_run
from model.split import SplitConfig, SplitSummary, assign_parts, label_place, summarise


def create_split(
    catalog: Catalog,
    config: SplitConfig,
    *,
    name: str | None = None,
    if_missing: bool = False,
    parent_id: int | None = None,
) -> tuple[Outcome, SplitFacts]:
    """Freeze who trains, validates and is held out, with the label of each video.

    The label is the latest readable count now, or with a label age the first that is old enough;
    videos without one yet are left out and counted. The same videos, labels and settings give the
    split that is already there. if_missing: any split will do.
    """
    params = {"name": name, **config.to_json()}
    with record_run(catalog, "split", params=params, parent_id=parent_id) as run:
        with catalog.read() as session:
            split = newest_split(session) if if_missing else None
        if split is None:
            split = _freeze(catalog, run, config, name or f"{config.strategy}-{run.id}")
        if split.created:
            run.done(sum(split.n_by_part.values()))
        else:
            run.skipped(split.name, "split_exists")
    return run.outcome, split


def show_split(catalog: Catalog, name: str | None) -> tuple[SplitRow, SplitSummary]:
    """Sum up the split of that name, the newest for None. Raises NotFound."""
    with catalog.read() as session:
        row = find_split_row(session, name)
        return row, summarise(split_members(session, row.id))


def _freeze(catalog: Catalog, run: RunInProgress, config: SplitConfig, name: str) -> SplitFacts:
    found = list(labelled(catalog, run, config))
    first = None
    if config.strategy == "author":
        # Also those that are gone or without a count: nobody moves when theirs goes, or comes back.
        with catalog.read() as session:
            first = first_videos(session)
    parts = assign_parts([video for video, _label in found], config, first_videos=first)
    members = [Member(video, parts[video.video_id], label) for video, label in found]
    with catalog.write() as session:
        return freeze_split(
            session,
            name=name,
            strategy=config.strategy,
            params=config.to_json(),
            members=members,
        )


def labelled(
    catalog: Catalog, run: RunInProgress, config: SplitConfig
) -> Iterator[tuple[Candidate, Observed]]:
    """Yield each video that may enter, and the count that is its label."""
    with catalog.read() as session:
        if config.label_age_s is None:
            yield from videos_to_split(session)
            return
        for video, seen in video_histories(session):
            place = label_place(video, [one.observed_at for one in seen], config.label_age_s)
            if place is None:
                run.skipped(video.tiktok_id, "no_label_yet")
            else:
                yield video, seen[place]
