from dataclasses import replace

import pytest

from catalog.errors import NotFound
from catalog.read.lookup import find_model
from catalog.read.model_history import (
    Change,
    model_history,
    model_in_use,
    refused,
    versions_before,
)
from catalog.record.lineage import Trial, add_model_version, refuse_challenger, set_alias
from catalog.work.runs import record_run
from tests.catalog.factories import SHA, add_model

TRIAL = Trial("log_mae", 75, "fused:1", 0.8, 0.9, -0.15, -0.05)


def promote(catalog, version, *, action="promoted", alias="production", **more):
    with catalog.write() as session:
        model = find_model(session, name="fused", version=version)
        set_alias(
            session, "fused", alias, model.id, set_by="me", reason="so", action=action, **more
        )


def refuse(catalog, version, champion=None):
    with catalog.write() as session:
        model = find_model(session, name="fused", version=version)
        rival = None if champion is None else find_model(session, name="fused", version=champion).id
        trial = replace(TRIAL, low=None, high=None)
        refuse_challenger(
            session, model, rival, set_by="me", reason="worse", trial=trial, run_id=None
        )


def history(catalog, name="fused") -> list[Change]:
    with catalog.read() as session:
        return model_history(session, name)


@pytest.fixture
def three(catalog):
    """A catalog with three versions of a model, and one of another."""
    for _ in range(3):
        add_model(catalog)
    add_model(catalog, name="other")
    return catalog


def test_each_change_is_told_with_who_why_and_its_numbers(three):
    promote(three, 1)
    with record_run(three, "retrain", params={}) as run:
        promote(three, 2, trial=TRIAL, run_id=run.id)
    refuse(three, 3, champion=2)
    first, second, third = history(three)
    assert (first.action, first.alias, first.set_by) == ("promoted", "production", "me")
    assert (first.from_version, first.to_version, first.metric) == (None, 1, None)
    assert (second.from_version, second.to_version, second.run_id) == (1, 2, run.id)
    numbers = (second.metric, second.n, second.rival, second.value, second.rival_value)
    assert numbers == ("log_mae", 75, "fused:1", 0.8, 0.9)
    assert (second.diff_low, second.diff_high) == (-0.15, -0.05)
    assert (third.action, third.from_version, third.to_version) == ("refused", 2, 3)
    assert (third.alias, third.reason, third.diff_low) == ("production", "worse", None)
    assert first.at <= second.at <= third.at
    assert first.at.tzinfo is not None
    assert history(three, "other") == []
    assert len(history(three, None)) == 3


def test_a_refusal_is_over_once_the_version_is_promoted(three):
    refuse(three, 2)
    refuse(three, 3)
    promote(three, 3)
    assert refused(history(three)) == {("fused", 2): "worse"}


def test_a_rollback_goes_back_along_the_promotions(three):
    for version in (1, 2, 2, 3):
        promote(three, version)
    assert versions_before(history(three)) == [1, 2]
    promote(three, 2, action="rolled back")
    assert versions_before(history(three)) == [1]
    promote(three, 1, action="rolled back")
    assert versions_before(history(three)) == []
    promote(three, 3)
    assert versions_before(history(three)) == [1]
    promote(three, 2, alias="trial")
    refuse(three, 2, champion=3)
    assert versions_before(history(three)) == [1]
    assert versions_before(history(three), "trial") == []


def test_what_a_bare_name_stands_for(three):
    with three.read() as session:
        model, remark = model_in_use(session, "fused")
        assert model.version == 3
        assert remark == "no version of fused is @production: the newest one, version 3, is used"
        with pytest.raises(NotFound, match="fused \\(versions to 3\\)"):
            model_in_use(session, "nobody")
    promote(three, 1)
    with three.read() as session:
        model, remark = model_in_use(session, "fused")
        assert (model.version, remark) == (1, None)


def test_a_challenger_is_used_only_once_it_is_promoted(catalog):
    with record_run(catalog, "retrain", params={}) as run:
        challenger = add_challenger(catalog, run.id)
    with catalog.read() as session, pytest.raises(NotFound, match="models history fused"):
        model_in_use(session, "fused")
    add_model(catalog)
    with record_run(catalog, "retrain", params={}) as run:
        add_challenger(catalog, run.id)
    with catalog.read() as session:
        assert model_in_use(session, "fused")[0].version == 2
    promote(catalog, challenger.version)
    with catalog.read() as session:
        assert model_in_use(session, "fused") == (challenger, None)


def add_challenger(catalog, retraining: int):
    train = record_run(catalog, "train", params={}, parent_id=retraining)
    with train as run, catalog.write() as session:
        return add_model_version(
            session,
            name="fused",
            model_kind="fused",
            artifact_uri="x",
            sha256=SHA,
            hyper={},
            target={},
            quartile_edges=[1, 2, 3],
            split_id=None,
            train_run_id=run.id,
            feature_set_ids=[],
            inputs_hash="x",
        )
