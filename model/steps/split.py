"""Freeze who trains, validates and is held out."""

from dataclasses import asdict

from catalog.facts import SplitFacts, SplitMemberFacts
from catalog.lookup import newest_split
from catalog.pending import videos_to_split
from catalog.record import freeze_split
from catalog.runs import Outcome, record_run
from catalog.session import Catalog
from model.split import Candidate, SplitConfig, assign_parts


def create_split(
    catalog: Catalog,
    config: SplitConfig,
    *,
    name: str | None = None,
    if_missing: bool = False,
    parent_id: int | None = None,
) -> tuple[Outcome, SplitFacts]:
    """Freeze who trains, validates and is held out, with the label of each video.

    The label is the latest readable count now. The same videos, labels and settings give the
    split that is already there. if_missing: any split will do.
    """
    params = {"name": name, **asdict(config)}
    with record_run(catalog, "split", params=params, parent_id=parent_id) as run:
        with catalog.read() as session:
            split = newest_split(session) if if_missing else None
        if split is None:
            split = _freeze(catalog, config, name or f"{config.strategy}-{run.id}")
        if split.created:
            run.done(sum(split.n_by_part.values()))
        else:
            run.skipped(split.name, "split_exists")
    return run.outcome, split


def _freeze(catalog: Catalog, config: SplitConfig, name: str) -> SplitFacts:
    with catalog.read() as session:
        videos = list(videos_to_split(session))
    parts = assign_parts(
        [
            Candidate(v.video_id, v.tiktok_id, v.author_id, v.posted_at, v.first_seen_at)
            for v in videos
        ],
        config,
    )
    members = [SplitMemberFacts(v.video_id, parts[v.video_id], v.observation_id) for v in videos]
    with catalog.write() as session:
        return freeze_split(
            session,
            name=name,
            strategy=config.strategy,
            params=asdict(config),
            members=members,
        )
