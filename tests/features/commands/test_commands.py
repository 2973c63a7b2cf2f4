"""The commands of features, as far as they decide something themselves."""

import json
import logging
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from catalog.console import App
from catalog.schema.session import open_catalog, upgrade
from cli import main, sections
from features.commands.plans import file_plan, has_weights
from features.errors import FeatureError, WeightsMismatch, WeightsMissing
from features.plan import FilePlan
from features.settings import AudioConfig
from features.sound.whisper_decoder import LAYOUTS
from features.sound.whisper_weights import BASE_FINGERPRINT
from tests.catalog.factories import add_media, add_videos


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with an empty catalog, on a machine without any downloaded weights."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "no-torch-home"))
    upgrade(f"sqlite:///{tmp_path / 'catalog.db'}")
    return tmp_path


def viewcast(data: Path, *words: str, **environment: str) -> Result:
    return CliRunner(env=environment).invoke(main, ["--data", str(data), *words])


def test_a_wrong_clip_setting_names_itself(data: Path) -> None:
    result = viewcast(
        data, "extract", "clip", VIEWCAST_CLIP__START_S="5", VIEWCAST_CLIP__STOP_S="2"
    )
    assert result.exit_code == 3
    assert (
        "setting clip (environment): stop_s is 2.0, it must be above start_s 5.0" in result.output
    )


def test_an_unknown_backbone_lists_the_known_ones(data: Path) -> None:
    result = viewcast(data, "extract", "frames", VIEWCAST_FRAMES__BACKBONE="resnet19")
    assert result.exit_code == 3
    assert "resnet19" in result.output
    assert "resnet18" in result.output


def test_absent_weights_of_frames_name_every_way_out(data: Path) -> None:
    result = viewcast(data, "weights", "verify", "--of", "frames")
    assert result.exit_code == 3
    assert "viewcast weights fetch --of frames" in result.output


def test_several_kinds_say_which_is_left_out_and_one_that_is_named_is_not(data: Path) -> None:
    several = viewcast(data, "extract", "files", "--json", VIEWCAST_EXTRACT__KINDS='["frames"]')
    assert several.exit_code == 0
    assert "viewcast weights fetch --of frames" in json.loads(several.stdout)["left_out"]["frames"]
    add_video_with_media(data)
    named = viewcast(data, "extract", "files", "--kind", "frames")
    assert named.exit_code == 3
    assert "viewcast weights fetch --of frames" in named.output


@pytest.mark.parametrize("error", [WeightsMissing, WeightsMismatch])
def test_a_night_goes_on_without_an_extra_and_its_own_command_says_so(
    data: Path, monkeypatch: pytest.MonkeyPatch, error: type[FeatureError]
) -> None:
    def refuse(_config: object) -> None:
        raise error("pip install 'viewcast[…]'")

    for module in ("features.video.ocr", "features.text"):
        monkeypatch.setattr(f"{module}.check", refuse)
    add_video_with_media(data)
    several = viewcast(data, "extract", "files", "--json", VIEWCAST_EXTRACT__KINDS='["ocr"]')
    assert (several.exit_code, json.loads(several.stdout)["left_out"].keys()) == (0, {"ocr"})
    assert not has_weights(App(flags={"data": data}, sections=sections), "text")
    for kind in ("ocr", "text"):
        alone = viewcast(data, "extract", kind, "--workers", "0")
        assert (alone.exit_code, "pip install" in alone.output) == (3, True)


def add_video_with_media(data: Path) -> None:
    catalog = open_catalog(f"sqlite:///{data / 'catalog.db'}")
    add_videos(catalog, 1)
    add_media(catalog)
    catalog.close()


def test_the_place_that_weights_would_be_fetched_to_is_told(data: Path) -> None:
    result = viewcast(data, "weights", "fetch", "--of", "frames", "--dry-run", "--json")
    said = json.loads(result.stdout)
    assert said["cache"].startswith(str(data / "no-torch-home"))
    assert said["cache"].endswith("resnet18-f37072fd.pth")


def test_random_weights_are_verified_by_their_fingerprint(data: Path) -> None:
    words = ("weights", "verify", "--of", "frames", "--json")
    first, again, other = (
        json.loads(viewcast(data, *words, VIEWCAST_FRAMES__WEIGHTS=f"random:{seed}").stdout)
        for seed in (1, 1, 2)
    )
    assert first["files"] == []
    assert first["fingerprint"] == again["fingerprint"] != other["fingerprint"]


@pytest.mark.whisper
def test_verifying_whisper_tells_how_its_products_are_laid_out(
    data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="features.sound.whisper_decoder"):
        said = json.loads(viewcast(data, "weights", "verify", "--json").stdout)
    assert said["fingerprint"] == BASE_FINGERPRINT
    assert said["layout"]
    assert set(said["layout"].split(", ")) <= LAYOUTS.keys()
    assert f"laid out: {said['layout']}" in caplog.text


def test_flags_of_audio_win_over_its_settings(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def count(_catalog: object, plan: FilePlan, _needs: object) -> int:
        config = plan.config
        seen.append((config.max_s, config.transcript, config.keep_wav, config.dtype))
        return 0

    monkeypatch.setattr("features.steps.count_to_extract", count)
    settings = {"VIEWCAST_AUDIO__MAX_S": "90", "VIEWCAST_AUDIO__TRANSCRIPT": "false"}
    for flags in (
        [],
        ["--max-seconds", "5", "--transcript"],
        ["--no-transcript", "--keep-wav", "sound"],
    ):
        result = viewcast(data, "extract", "audio", *flags, "--dry-run", **settings)
        assert result.exit_code == 0, result.output
    assert seen == [
        (90.0, False, None, "float32"),
        (5.0, True, None, "float32"),
        (90.0, False, Path("sound"), "float32"),
    ]
    app = App(flags={"data": data}, sections=sections)
    file_plan(app, "audio", {"max_s": 1.0})
    assert app.settings.of(AudioConfig).max_s == 600


@pytest.mark.parametrize("kind", ["clip", "visual", "frames"])
@pytest.mark.parametrize("flag", ["--max-seconds=5", "--no-transcript", "--keep-wav=x"])
def test_flags_of_audio_are_refused_for_another_kind(data: Path, kind: str, flag: str) -> None:
    result = viewcast(data, "extract", kind, flag, "--dry-run")
    assert result.exit_code == 2
    assert f"{flag.split('=')[0].replace('no-', '')}" in result.output
    assert f"only of `extract audio`, not of {kind}" in result.output
    assert "max-seconds" not in viewcast(data, "extract", kind, "--help").output


@pytest.mark.parametrize("seconds", ["0", "-3", "nan", "inf", "a minute"])
def test_seconds_that_make_no_sense_are_refused(data: Path, seconds: str) -> None:
    result = viewcast(data, "extract", "audio", "--max-seconds", seconds, "--dry-run")
    assert result.exit_code in (2, 3)
    assert seconds in result.output


def test_a_kind_without_weights_is_left_out_unless_it_is_asked_for(data: Path) -> None:
    result = viewcast(data, "extract", "files", "--dry-run", "--json")
    said = json.loads(result.stdout)
    assert "frames" not in said["n_videos"]
    assert "weights fetch --of frames" in said["left_out"]["frames"]

    done = viewcast(data, "extract", "files", "--workers", "0", "--json")
    assert done.exit_code == 0
    assert "weights fetch --of frames" in json.loads(done.stdout)["left_out"]["frames"]

    asked = viewcast(data, "extract", "files", "--kind", "frames", "--dry-run", "--json")
    assert json.loads(asked.stdout)["left_out"] == {}


def test_what_is_no_kind_is_refused(data: Path) -> None:
    result = viewcast(data, "extract", "files", "--kind", "smell")
    assert result.exit_code == 3
    assert "smell is none of clip" in result.output


@pytest.fixture
def shown(data: Path) -> Path:
    """A catalog with one video, whose file was not fetched."""
    assert viewcast(data, "add", "7571863205253778710").exit_code == 0
    return data


def test_a_video_of_which_nothing_was_made_is_shown_as_that(shown: Path) -> None:
    result = viewcast(shown, "features", "show", "7571863205253778710")
    assert result.exit_code == 0
    assert "no clip yet: run `viewcast extract clip`" in result.stdout
    assert "run `viewcast fetch`" in result.stdout


@pytest.mark.parametrize(("name", "head"), [("s.html", b"<!doctype html>"), ("S.PNG", b"\x89PNG")])
def test_a_sheet_is_written_by_its_suffix(shown: Path, name: str, head: bytes) -> None:
    output = shown / "sheets" / name
    words = ("features", "show", "7571863205253778710", "--output", str(output), "--json")
    said = json.loads(viewcast(shown, *words).stdout)
    assert output.read_bytes().startswith(head)
    assert said["output"] == str(output)
    assert any("extract opening" in line for line in said["missing"])


def test_a_sheet_of_another_suffix_or_of_no_video_is_refused(shown: Path) -> None:
    other = viewcast(shown, "features", "show", "7571863205253778710", "-o", "sheet.txt")
    assert other.exit_code == 2
    assert ".html or .png" in other.output
    unknown = viewcast(shown, "features", "show", "nothing")
    assert unknown.exit_code != 0
    assert "no video nothing" in unknown.output
