"""Promoting, rolling back and telling of it, on the command line."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli import main
from tests.catalog.factories import add_model
from tests.fresh_catalog import fresh_catalog


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder whose catalog has three versions of a model, with a file."""
    with fresh_catalog(tmp_path) as catalog:
        for _ in range(3):
            add_model(catalog)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "x.safetensors").touch()
    return tmp_path


def viewcast(data: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["--data", str(data), *words])


def promote(data: Path, version: int) -> None:
    words = ("models", "promote", f"fused:{version}", "--reason", f"so {version}")
    assert viewcast(data, *words).exit_code == 0


def rolled_back(data: Path, *more: str) -> Result:
    return viewcast(data, "models", "rollback", "fused", "--reason", "it drifts", *more)


def used(data: Path) -> tuple[int, str]:
    result = viewcast(data, "explain", "--model", "fused", "--dry-run", "--json")
    return json.loads(result.stdout)["version"], result.stderr


def test_a_bare_name_is_the_promoted_version_or_with_a_remark_the_newest(data):
    remark = "viewcast: no version of fused is @production: the newest one, version 3, is used\n"
    assert used(data) == (3, remark)
    promote(data, 2)
    assert used(data) == (2, "")
    for name, version in (("fused:latest", 3), ("fused:1", 1), ("fused@production", 2)):
        result = viewcast(data, "explain", "--model", name, "--dry-run", "--json")
        assert json.loads(result.stdout)["version"] == version
        assert result.stderr == ""


def test_a_promotion_names_a_version(data):
    result = viewcast(data, "models", "promote", "fused", "--reason", "x")
    assert result.exit_code == 2
    assert "Write fused:VERSION or fused:latest" in result.output


def test_a_rollback_goes_to_the_version_before_and_is_told(data):
    for version in (1, 2, 3):
        promote(data, version)
    assert rolled_back(data, "--dry-run").exit_code == 0
    assert used(data)[0] == 3
    assert rolled_back(data).exit_code == 0
    assert used(data)[0] == 2
    assert rolled_back(data).exit_code == 0
    assert used(data)[0] == 1
    refused = rolled_back(data)
    assert refused.exit_code == 1
    assert "fused@production means version 1, and none before it" in refused.output
    assert rolled_back(data, "--to", "3").exit_code == 0
    assert used(data)[0] == 3
    told = json.loads(viewcast(data, "models", "history", "fused", "--json").stdout)["changes"]
    assert [(change["action"], change["to_version"]) for change in told] == [
        *(("promoted", version) for version in (1, 2, 3)),
        *(("rolled back", version) for version in (2, 1, 3)),
    ]
    assert {change["reason"] for change in told[3:]} == {"it drifts"}
    shown = viewcast(data, "models", "history").output
    assert "rolled back" in shown
    assert "so 2" in shown


def test_a_rollback_to_what_never_was_in_use_is_refused(data):
    for version in (1, 2):
        promote(data, version)
    for version in ("3", "2", "9"):
        result = rolled_back(data, "--to", version)
        assert result.exit_code == 1
        assert "has meant 1" in result.output
    (data / "models" / "x.safetensors").unlink()
    assert "is gone" in rolled_back(data).output
    assert used(data)[0] == 2


def test_without_any_promotion_there_is_nothing_to_tell_or_to_roll_back(data):
    assert "nothing was promoted" in viewcast(data, "models", "history").output
    assert viewcast(data, "models", "history", "nobody").exit_code == 1
    assert rolled_back(data).exit_code == 1


def test_a_dry_run_of_a_retraining_says_what_it_would_ask_for(data):
    words = ("retrain", "ridge", "--name", "house", "--dry-run", "--json")
    told = json.loads(viewcast(data, *words).stdout)
    assert (told["model"], told["preset"], told["metric"]) == ("house", "ridge", "log_mae")
    assert (told["split"]["strategy"], told["split"]["holdout"]) == ("time", 0.15)


def test_too_few_labels_are_no_failure_and_a_slot_is_done_once(data):
    words = ("retrain", "--json", "--slot", "retrain/2026-11-29")
    result = viewcast(data, *words, "--scheduled-for", "2026-11-29T07:00:00")
    told = json.loads(result.stdout)
    assert result.exit_code == 0
    assert told["codes"] == {"too_few_rows": 1}
    assert viewcast(data, *words).exit_code == 5


def test_a_night_that_always_retrains_is_told_what_to_use_instead(data):
    (data / "viewcast.toml").write_text('[nightly]\nretrain = "always"\n')
    result = viewcast(data, "--config", str(data / "viewcast.toml"), "config", "show")
    assert result.exit_code == 3
    assert "viewcast retrain" in result.output
