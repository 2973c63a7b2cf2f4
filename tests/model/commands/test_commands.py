"""The commands of the model stage, as far as they decide something themselves."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from catalog.schema.session import upgrade
from cli import main


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with an empty catalog."""
    upgrade(f"sqlite:///{tmp_path / 'catalog.db'}")
    return tmp_path


def viewcast(data: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["--data", str(data), *words])


def test_flags_of_a_training_are_refused_where_nothing_is_trained(data: Path) -> None:
    result = viewcast(data, "pretrain", "--from", "weights.pt", "--epochs", "3")
    assert result.exit_code == 2
    assert "--epochs is of a training; --from trains nothing" in result.output


def test_a_gpu_that_is_not_there_is_said(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    result = viewcast(data, "pretrain", "--device", "cuda")
    assert result.exit_code == 3
    assert "torch finds no GPU" in result.output


def test_a_dry_run_shows_the_settings_with_the_flags(data: Path) -> None:
    words = ("--precision", "fp32", "--normalised", "--dry-run", "--json")
    result = viewcast(data, "pretrain", *words)
    settings = json.loads(result.stdout)["settings"]
    assert (settings["precision"], settings["normalised"], settings["batch"]) == ("fp32", True, 4)


def test_an_autoencoder_that_is_not_there_is_said(data: Path) -> None:
    result = viewcast(data, "models", "compare-autoencoders", "autoencoder:1", "autoencoder:2")
    assert result.exit_code == 1
    assert "autoencoder" in result.output
    assert "Traceback" not in result.output
