"""Freeze who trains, validates and is held out, and tell what was frozen."""

from collections.abc import Iterator
from typing import cast

from catalog.facts import SplitFacts, SplitMemberFacts
from catalog.read.lookup import (
    SplitRow,
    find_split_row,
    newest_split,
    split_members,
    video_histories,
)
from catalog.read.pending import videos_to_split
from catalog.record.lineage import freeze_split
from catalog.schema.session import Catalog
from catalog.work.runs import Outcome, RunInProgress, record_run
from model.split import (
    Candidate,
    Member,
    Part,
    SplitConfig,
    SplitSummary,
    assign_parts,
    label_place,
    summarise,
)

Labelled = tuple[Candidate, int]  # a video and the observation that is its label


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
        members = (
            Member(
                Candidate(
                    member.video_id,
                    member.tiktok_id,
                    member.author_id,
                    member.posted_at,
                    member.first_seen_at,
                ),
                cast(Part, member.part),  # a constraint of the catalog
                member.observed_at,
            )
            for member in split_members(session, row.id)
        )
        return row, summarise(members)


def _freeze(catalog: Catalog, run: RunInProgress, config: SplitConfig, name: str) -> SplitFacts:
    labelled = list(_labelled(catalog, run, config))
    parts = assign_parts([video for video, _observation_id in labelled], config)
    members = [
        SplitMemberFacts(video.video_id, parts[video.video_id], observation_id)
        for video, observation_id in labelled
    ]
    with catalog.write() as session:
        return freeze_split(
            session,
            name=name,
            strategy=config.strategy,
            params=config.to_json(),
            members=members,
        )


def _labelled(catalog: Catalog, run: RunInProgress, config: SplitConfig) -> Iterator[Labelled]:
    with catalog.read() as session:
        if config.label_age_s is None:
            for v in videos_to_split(session):
                video = Candidate(
                    v.video_id, v.tiktok_id, v.author_id, v.posted_at, v.first_seen_at
                )
                yield video, v.observation_id
            return
        for h in video_histories(session):
            video = Candidate(h.video_id, h.tiktok_id, h.author_id, h.posted_at, h.first_seen_at)
            seen_at = [observed.observed_at for observed in h.observations]
            place = label_place(video, seen_at, config.label_age_s)
            if place is None:
                run.skipped(h.tiktok_id, "no_label_yet")
            else:
                yield video, h.observations[place].id
