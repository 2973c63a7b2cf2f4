"""Leases: each unit of work is done once, whoever dies on the way."""

import threading
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from catalog.errors import BadValue, NotFound
from catalog.read.pending import count_media_to_fetch
from catalog.record.retention import forget_shard, shards_left
from catalog.record.sightings import mark_gone
from catalog.schema.session import Catalog
from catalog.schema.tables import Feature, MediaFile, Run, Video
from catalog.schema.types import utc_now
from catalog.work.claims import (
    CLAIMABLE,
    MAX_CRASHES,
    Failed,
    MediaDone,
    NothingThere,
    block_features,
    claim_features,
    claim_media,
    count_open,
    enrol_features,
    enrol_media,
    finish_feature,
    finish_media,
    give_back,
    renew,
    retry_failed,
)
from catalog.work.runs import reap, record_run
from tests.catalog.factories import (
    T0,
    add_feature_set,
    add_features,
    add_media,
    add_videos,
    feature_done,
    sha_of,
)
from tests.programs import speaking

ROOT = Path(__file__).resolve().parents[3]
LATER = timedelta(days=1)


@pytest.fixture
def clip_set(catalog: Catalog) -> int:
    """Ten videos with media, and a feature set with their ten units open."""
    add_videos(catalog, 10)
    add_media(catalog)
    set_id = add_feature_set(catalog)
    with catalog.write() as session:
        assert enrol_features(session, set_id, needs_feature_set_id=None) == 10
    return set_id


def finish(catalog: Catalog, set_id: int, claim, owner: str, result=None) -> bool:
    with catalog.write() as session:
        return finish_feature(session, set_id, claim, owner, result or feature_done())


def states(catalog: Catalog, table=Feature) -> dict[str, int]:
    with catalog.read() as session:
        return dict(
            session.execute(select(table.status, func.count()).group_by(table.status)).all()
        )


def told_of(catalog: Catalog, set_id: int, video_id: int) -> dict[str, object]:
    """All that a feature's row says beside its key."""
    query = text("SELECT * FROM feature WHERE feature_set_id = :set_id AND video_id = :video_id")
    with catalog.read() as session:
        row = session.execute(query, {"set_id": set_id, "video_id": video_id}).mappings().one()
    keys = {"feature_set_id", "video_id"}
    return {name: value for name, value in row.items() if value is not None and name not in keys}


def test_a_claim_carries_what_the_extractor_needs(catalog, clip_set):
    claims = claim_features(catalog, clip_set, owner="me", limit=3)

    assert [claim.video_id for claim in claims] == [1, 2, 3]
    first = claims[0]
    assert first.input_uri == f"{first.tiktok_id}.mp4"
    assert (first.attempt, first.input_row) == (1, None)
    assert first.input_sha256 == sha_of(first.tiktok_id)


def test_two_owners_never_hold_the_same_unit(catalog, clip_set):
    mine = claim_features(catalog, clip_set, owner="me", limit=6)
    yours = claim_features(catalog, clip_set, owner="you", limit=6)
    assert {c.video_id for c in mine} & {c.video_id for c in yours} == set()
    assert len(mine) + len(yours) == 10
    assert claim_features(catalog, clip_set, owner="third", limit=6) == []


def test_threads_that_race_do_every_unit_once(catalog):
    add_videos(catalog, 120)
    add_media(catalog)
    set_id = add_feature_set(catalog)
    with catalog.write() as session:
        enrol_features(session, set_id, needs_feature_set_id=None)
    done: list[int] = []

    def work(owner: str) -> None:
        while claims := claim_features(catalog, set_id, owner=owner, limit=7):
            for claim in claims:
                assert finish(catalog, set_id, claim, owner)
                done.append(claim.video_id)

    threads = [threading.Thread(target=work, args=(f"owner{i}",)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(done) == Counter(range(1, 121))


def test_a_finished_unit_stores_what_was_made(catalog, clip_set):
    (claim,) = claim_features(catalog, clip_set, owner="me", limit=1)
    assert finish(catalog, clip_set, claim, "me")
    with catalog.read() as session:
        row = session.get_one(Feature, (clip_set, claim.video_id))

    assert (row.status, row.uri, row.row, row.shape) == ("done", "shards/x", 0, [3, 2, 8, 4])
    assert row.detail == {"n_frames": 2}
    assert row.input_sha256 == claim.input_sha256
    assert (row.lease_owner, row.lease_until) == (None, None)


def test_a_stale_owner_cannot_finish(catalog, clip_set):
    (slow,) = claim_features(catalog, clip_set, owner="slow", limit=1, now=T0)
    (fast,) = claim_features(catalog, clip_set, owner="fast", limit=1, now=T0 + LATER)
    assert slow.video_id == fast.video_id
    assert (slow.attempt, fast.attempt) == (1, 2)

    assert not finish(catalog, clip_set, slow, "slow")
    assert finish(catalog, clip_set, fast, "fast")
    assert not finish(catalog, clip_set, fast, "fast")


def test_an_earlier_attempt_of_the_same_owner_cannot_finish(catalog, clip_set):
    """A hung thread of the process that has claimed the unit again has nothing to say."""
    add_videos(catalog, 1, first=11)
    with catalog.write() as session:
        enrol_media(session)
    days = (T0, T0 + LATER)
    old, new = (claim_media(catalog, owner="me", limit=1, now=day)[0] for day in days)
    assert (old.media_id, old.attempt + 1) == (new.media_id, new.attempt)
    with catalog.write() as session:
        assert not finish_media(session, old, "me", Failed("gone", "deleted", permanent=True))
        assert finish_media(session, new, "me", MediaDone("x.mp4", sha_of("x"), 9, {}))
    assert states(catalog, MediaFile) == {"ok": 11}

    before, after = (
        claim_features(catalog, clip_set, owner="me", limit=1, now=day)[0] for day in days
    )
    assert (before.video_id, before.attempt + 1) == (after.video_id, after.attempt)
    assert not finish(catalog, clip_set, before, "me")
    assert finish(catalog, clip_set, after, "me")


def test_a_lease_that_is_renewed_does_not_end(catalog, clip_set):
    claim_features(catalog, clip_set, owner="me", limit=10)
    assert renew(catalog, "me", 3600.0) == 10
    soon = utc_now() + timedelta(minutes=30)
    assert claim_features(catalog, clip_set, owner="you", limit=10, now=soon) == []
    assert len(claim_features(catalog, clip_set, owner="you", limit=10, now=soon + LATER)) == 10


def test_what_is_given_back_is_free_at_once_and_has_all_its_attempts(catalog, clip_set):
    claim_features(catalog, clip_set, owner="me", limit=4)
    with catalog.write() as session:
        assert give_back(session, "me", crashed=False) == 4
    claims = claim_features(catalog, clip_set, owner="you", limit=10)
    assert {claim.attempt for claim in claims} == {1}


def test_a_failure_is_tried_again_after_a_while_and_ends_as_dead(catalog, clip_set):
    failed = Failed("worker_lost", "it died", permanent=False)
    now, seen, waits_s = utc_now(), [], []
    for _ in range(3):
        claims = claim_features(catalog, clip_set, owner="me", limit=1, now=now)
        seen += [(claim.video_id, claim.attempt) for claim in claims]
        assert finish(catalog, clip_set, claims[0], "me", failed)
        with catalog.read() as session:
            row = session.get_one(Feature, (clip_set, 1))
        again_at = row.not_before or row.finished_at
        waits_s.append((again_at - row.finished_at).total_seconds())
        moment_before = again_at - timedelta(seconds=1)
        early = claim_features(catalog, clip_set, owner="early", limit=20, now=moment_before)
        assert {claim.video_id for claim in early} == set(range(2, 11))
        with catalog.write() as session:
            give_back(session, "early", crashed=False)
        now = again_at

    assert seen == [(1, 1), (1, 2), (1, 3)]
    assert waits_s == [60.0, 240.0, 0.0]  # a minute, four minutes, and then no more
    assert (row.status, row.error_code, row.error) == ("dead", "worker_lost", "it died")
    assert row.not_before is None


def test_a_permanent_failure_is_dead_and_the_absent_is_skipped(catalog, clip_set):
    one, two = claim_features(catalog, clip_set, owner="me", limit=2)
    finish(catalog, clip_set, one, "me", Failed("undecodable", "no", permanent=True))
    finish(catalog, clip_set, two, "me", NothingThere("no_audio", "silent film"))
    assert states(catalog) == {"dead": 1, "skipped": 1, "pending": 8}
    with catalog.read() as session:
        assert count_open(session, clip_set) == 8


def test_a_row_that_kills_every_process_ends_as_dead(catalog, clip_set):
    now = T0
    for _ in range(MAX_CRASHES):
        assert 1 in [
            c.video_id for c in claim_features(catalog, clip_set, owner="me", limit=1, now=now)
        ]
        now += LATER
    (other,) = claim_features(catalog, clip_set, owner="me", limit=1, now=now)
    assert other.video_id == 2
    with catalog.read() as session:
        assert session.get_one(Feature, (clip_set, 1)).error_code == "lease_expired"


def test_retrying_opens_what_failed_and_only_that(catalog, clip_set):
    one, two, three = claim_features(catalog, clip_set, owner="me", limit=3)
    finish(catalog, clip_set, one, "me", Failed("undecodable", "no", permanent=True))
    finish(catalog, clip_set, two, "me", Failed("worker_lost", "no", permanent=False))
    finish(catalog, clip_set, three, "me", NothingThere("no_audio", "no"))
    with catalog.write() as session:
        assert retry_failed(session, clip_set, "undecodable") == 1
        assert retry_failed(session, None, None) == 1
        assert retry_failed(session, None, None) == 0
    for claim in (one, two):
        told = told_of(catalog, clip_set, claim.video_id)
        assert told.keys() <= {"status", "attempts", "run_id", "input_sha256"}
        assert (told["status"], told["attempts"]) == ("pending", 0)


def test_blocked_features_keep_their_attempts_and_stay_claimable(catalog, clip_set):
    with catalog.write() as session:
        assert block_features(session, clip_set, "weights_missing", "get them") == 10
    assert states(catalog) == {"failed": 10}
    claims = claim_features(catalog, clip_set, owner="me", limit=20)
    assert {claim.attempt for claim in claims} == {1}
    assert len(claims) == 10


def test_enrolling_again_opens_nothing(catalog, clip_set):
    add_features(catalog, clip_set)
    with catalog.write() as session:
        assert enrol_features(session, clip_set, needs_feature_set_id=None) == 0


def test_a_new_video_is_enrolled_when_its_media_is_there(catalog, clip_set):
    add_videos(catalog, 2, first=11)
    with catalog.write() as session:
        assert enrol_features(session, clip_set, needs_feature_set_id=None) == 0
    add_media(catalog)
    with catalog.write() as session:
        assert enrol_features(session, clip_set, needs_feature_set_id=None) == 2


def test_a_changed_file_opens_its_feature_again(catalog, clip_set):
    add_features(catalog, clip_set)
    with catalog.write() as session:
        session.execute(text("UPDATE media_file SET sha256 = 'new' WHERE video_id = 3"))
        assert enrol_features(session, clip_set, needs_feature_set_id=None) == 1
    told = told_of(catalog, clip_set, 3)
    shard = told.pop("uri")
    assert told == {"status": "pending", "attempts": 0}
    # Only when what it was has left its shard.
    assert claim_features(catalog, clip_set, owner="me", limit=5) == []
    with catalog.write() as session:
        assert shards_left(session, clip_set) == [shard]
        forget_shard(session, clip_set, shard)
        assert shards_left(session, clip_set) == []
    (claim,) = claim_features(catalog, clip_set, owner="me", limit=5)
    assert (claim.video_id, claim.input_sha256, claim.attempt) == (3, "new", 1)


def test_a_feature_made_from_a_feature_follows_it(catalog, clip_set):
    visual = add_feature_set(catalog, "visual")
    with catalog.write() as session:
        assert enrol_features(session, visual, needs_feature_set_id=clip_set) == 0
    one, two, three = claim_features(catalog, clip_set, owner="me", limit=3)
    assert finish(catalog, clip_set, one, "me", feature_done("clips", row=7))
    assert finish(catalog, clip_set, two, "me", Failed("undecodable", "no", permanent=True))
    assert finish(catalog, clip_set, three, "me", NothingThere("too_short", "no"))
    with catalog.write() as session:
        assert enrol_features(session, visual, needs_feature_set_id=clip_set) == 1
        codes = session.execute(
            select(Feature.video_id, Feature.status, Feature.error_code, Feature.error)
            .where(Feature.feature_set_id == visual)
            .order_by(Feature.video_id)
        ).all()

    (claim,) = claim_features(catalog, visual, owner="me", limit=5)
    assert (claim.video_id, claim.input_uri, claim.input_row) == (1, "shards/clips", 7)
    assert [tuple(row) for row in codes] == [
        (1, "pending", None, None),
        (2, "skipped", "no_input", "undecodable"),
        (3, "skipped", "no_input", "too_short"),
    ]


def test_a_feature_skipped_for_want_of_its_input_is_opened_when_that_is_there(catalog, clip_set):
    visual = add_feature_set(catalog, "visual")
    (claim,) = claim_features(catalog, clip_set, owner="me", limit=1)
    finish(catalog, clip_set, claim, "me", Failed("undecodable", "no", permanent=True))
    with catalog.write() as session:
        enrol_features(session, visual, needs_feature_set_id=clip_set)
        assert retry_failed(session, clip_set, None) == 1
    assert claim_features(catalog, visual, owner="me", limit=5) == []
    (claim,) = claim_features(catalog, clip_set, owner="me", limit=1)
    finish(catalog, clip_set, claim, "me")
    with catalog.write() as session:
        assert enrol_features(session, visual, needs_feature_set_id=clip_set) == 1


def test_a_unit_waits_while_its_input_is_made_anew(catalog, clip_set):
    add_features(catalog, clip_set)
    visual = add_feature_set(catalog, "visual")
    with catalog.write() as session:
        enrol_features(session, visual, needs_feature_set_id=clip_set)
        session.execute(text("UPDATE media_file SET sha256 = 'new' WHERE video_id = 1"))
        enrol_features(session, clip_set, needs_feature_set_id=None)
    claims = claim_features(catalog, visual, owner="me", limit=20)
    assert [claim.video_id for claim in claims] == list(range(2, 11))


def test_a_set_is_made_from_one_other_set_for_ever(catalog, clip_set):
    visual, other = add_feature_set(catalog, "visual"), add_feature_set(catalog, "clip", "b")
    with catalog.write() as session:
        enrol_features(session, visual, needs_feature_set_id=clip_set)
        with pytest.raises(BadValue, match="made from set"):
            enrol_features(session, visual, needs_feature_set_id=other)
        with pytest.raises(NotFound, match="99"):
            enrol_features(session, 99, needs_feature_set_id=None)


def test_other_platforms_files_are_for_who_asks_for_every_platform(catalog):
    add_videos(catalog, 3)
    with catalog.write() as session:
        session.get(Video, 1).platform = "youtube"
    with catalog.write() as session:
        assert [count_media_to_fetch(session, every_platform=every) for every in (False, True)] == [
            *(2, 3)
        ]
        assert enrol_media(session) == 2
        assert enrol_media(session, every_platform=True) == 1
    # Enrolled or not, who knows the site alone leaves them.
    mine = claim_media(catalog, owner="me", limit=5)
    assert [(claim.video_id, claim.platform) for claim in mine] == [(2, "tiktok"), (3, "tiktok")]
    (other,) = claim_media(catalog, owner="you", limit=5, every_platform=True)
    assert (other.video_id, other.platform) == (1, "youtube")


def test_media_of_the_gone_is_not_fetched_and_the_absent_closes_its_features(catalog):
    add_videos(catalog, 3)
    with catalog.write() as session:
        mark_gone(session, 1, T0, "deleted")
        assert enrol_media(session) == 2
        assert enrol_media(session) == 0
    two, three = claim_media(catalog, owner="me", limit=5)
    assert (two.video_id, two.duration_s, two.attempt) == (2, 9.5, 1)
    assert two.url.endswith(two.tiktok_id)
    with catalog.write() as session:
        assert finish_media(session, two, "me", Failed("gone", "deleted", permanent=True))
        assert not finish_media(session, three, "you", Failed("gone", "x", permanent=True))
        assert finish_media(session, three, "me", Failed("download_failed", "503", permanent=False))
    assert states(catalog, MediaFile) == {"dead": 1, "failed": 1}

    set_id = add_feature_set(catalog)
    with catalog.write() as session:
        assert enrol_features(session, set_id, needs_feature_set_id=None) == 0
    assert states(catalog) == {"skipped": 1}


def test_a_claim_reads_the_partial_index(catalog, clip_set):
    inner = (
        (
            "SELECT u.video_id FROM feature u WHERE u.feature_set_id = 1"
            f" AND {CLAIMABLE} ORDER BY u.status, u.video_id LIMIT 5"
        )
        .replace(":max_attempts", "3")
        .replace(":now", "'2026-01-01'")
    )
    if catalog.engine.dialect.name == "postgresql":
        with catalog.write() as session:
            # Ten rows are read faster without any index; at a million they are not.
            session.execute(text("SET LOCAL enable_seqscan = off"))
            session.execute(text("SET LOCAL enable_bitmapscan = off"))
            plan = session.execute(text("EXPLAIN " + inner)).all()
    else:
        with catalog.read() as session:
            plan = session.execute(text("EXPLAIN QUERY PLAN " + inner)).all()
    assert "ix_feature_open" in str(plan)
    assert "TEMP B-TREE" not in str(plan)


HOLDER = """
import sys, time
from catalog.work.claims import claim_features, finish_feature
from catalog.work.runs import record_run
from catalog.schema.session import open_catalog
from tests.catalog.factories import feature_done

catalog = open_catalog(sys.argv[1])
with record_run(catalog, "extract", params={}) as run:
    claims = claim_features(catalog, int(sys.argv[2]), owner=run.uid, limit=6)
    for claim in claims[:2]:
        with catalog.write() as session:
            assert finish_feature(session, int(sys.argv[2]), claim, run.uid, feature_done())
    sys.stdout.write("holding\\n")
    sys.stdout.flush()
    time.sleep(1_200)
"""


def test_kill_9_loses_nothing_and_does_nothing_twice(catalog, clip_set):
    with speaking(HOLDER, catalog.url, str(clip_set)) as holder:
        assert holder.stdout.readline() == b"holding\n"
        assert states(catalog) == {"done": 2, "leased": 4, "pending": 4}
        assert reap(catalog) == []  # it lives, so nothing is taken from it
        holder.kill()

    assert len(reap(catalog)) == 1
    assert states(catalog) == {"done": 2, "pending": 8}
    with catalog.read() as session:
        assert session.scalars(select(Run.status).where(Run.kind == "extract")).all() == ["lost"]
    with record_run(catalog, "extract", params={}, resume=True) as run:
        claims = claim_features(catalog, clip_set, owner=run.uid, limit=20)
        run.expect(len(claims))
        assert sorted(claim.attempt for claim in claims) == [1, 1, 1, 1, 2, 2, 2, 2]
        assert all(finish(catalog, clip_set, claim, run.uid) for claim in claims)
        run.done(len(claims))
    assert states(catalog) == {"done": 10}
    assert (run.outcome.n_done, run.outcome.n_total) == (10, 10)
