"""Settings of features: one default for each word, light to import, and names that stay."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from features.plan import FilePlan, TextPlan, VisualPlan
from features.settings import (
    PAPER_CLIP,
    AudioConfig,
    ClipConfig,
    FramesConfig,
    OcrConfig,
    TextConfig,
)

ROOT = Path(__file__).parents[2]
DEMO = ClipConfig(n_frames=8, height_px=16, width_px=9)
DEMO_CLIPS = "7030d2631d7df4a2d2f378b77bbd51ddc8aa832dde87b5942ba73bf3d437a6a4"
DEMO_WEIGHTS = "5cba197301b1f360c367296597768e2b0011572cd994cfb584cc2604a5834aca"


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        pytest.param(FilePlan("clip", DEMO, "x"), DEMO_CLIPS, id="clip of a demo"),
        pytest.param(
            VisualPlan(DEMO_CLIPS, Path("x"), DEMO_WEIGHTS, "x"),
            "6052f1ec2933e6c6b68871824d2e050f307b1289c7863dab1c1f4e8c3db4ff94",
            id="visual of a demo",
        ),
        pytest.param(
            FilePlan("audio", AudioConfig(), "x"),
            "59c28bf88043ae0b264600fbca5864d686737c54b4d143ed8d7d6f3d829dba76",
            id="audio",
        ),
        pytest.param(
            FilePlan("clip", ClipConfig(), "x"),
            "5c658754ba1c47ba163b9d95efee0eb78ac90812c89df0004cb11178d1294f93",
            id="clip",
        ),
        pytest.param(
            FilePlan("clip", PAPER_CLIP, "x"),
            "a64777d91636b8d656395068e0a364c0eb6063ec8143b24a17415a6a6a72936b",
            id="clip of the paper",
        ),
        pytest.param(
            FilePlan("clip", ClipConfig(sampling="uniform", start_s=0.5, window_frames=3), "x"),
            "d6ffd27ccde47082d503ae72cc10c93547f6f18562e9caeba293c601c15a005f",
            id="clip, uniform",
        ),
        pytest.param(
            FilePlan("frames", FramesConfig(), "x"),
            "93d072f1e7ab015a26808332f40bcbc79f353cd40cc558dafe8a65c7737d1093",
            id="frames",
        ),
        pytest.param(
            FilePlan("ocr", OcrConfig(), "x"),
            "164882367e56d460e7bb4be3c059200958501ab59acfdfc2906068614154edb9",
            id="ocr",
        ),
        pytest.param(
            TextPlan(TextConfig(), "x"),
            "a969f5470dfc4f32cf4d1f0f6bdc51ea6790e645a20c95b6401bdaf475c505d4",
            id="text",
        ),
    ],
)
def test_a_feature_set_keeps_its_name(plan, expected):
    """Another hash would orphan every feature and model of the catalogs that there are."""
    assert plan.spec().hash == expected


OLD_DEMO = ClipConfig(every_frames=24, max_frames=8, height_px=16, width_px=9)


@pytest.mark.parametrize(
    "config", [DEMO, OLD_DEMO, PAPER_CLIP, ClipConfig(sampling="seconds", stop_s=9.0)]
)
def test_the_clips_of_a_set_can_be_made_whatever_is_set_now(config):
    now = ClipConfig(sampling="uniform", n_frames=3, start_s=1.0, window_frames=5, shrink=64)
    assert now.as_trained(config.spec()).spec() == config.spec()
    assert ClipConfig().as_trained(config.spec()).spec() == config.spec()


def test_the_sound_of_a_set_is_heard_by_the_weights_and_on_the_device_of_now():
    now = AudioConfig(max_s=9.0, weights=Path("w.pt"), device="cuda", keep_wav=Path("wav"))
    then = FilePlan("audio", AudioConfig(transcript=False), "x").spec().config
    assert now.as_trained(then) == replace(now, max_s=600.0, transcript=False)


@pytest.mark.parametrize("weights", ["random:3", "IMAGENET1K_V1"])
def test_the_frames_of_a_set_are_seen_by_its_network_on_the_device_of_now(weights):
    then = FramesConfig("shufflenet_v2_x0_5", weights, n_frames=4)
    now = FramesConfig(device="cpu").as_trained(FilePlan("frames", then, "x").spec().config)
    assert now == replace(then, device="cpu")


@pytest.mark.parametrize("room", ["features", "model", "scraper"])
def test_settings_load_nothing_heavy(room):
    heavy = "{'torch', 'torchvision', 'whisper', 'selenium', 'sqlalchemy', 'numpy', 'av'}"
    script = f"import sys, {room}.settings\nsys.exit(sorted({heavy} & set(sys.modules)) or None)"
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")


def test_what_is_set_says_how_frames_are_chosen():
    assert ClipConfig().technique == "uniform"
    assert ClipConfig(every_frames=9).technique == "frames"
    assert ClipConfig(every_s=0.5).technique == "seconds"
    assert ClipConfig(sampling="uniform", every_frames=9).technique == "uniform"
    assert ClipConfig(sampling="frames").spec() == ClipConfig(every_frames=30).spec()
    assert ClipConfig(sampling="seconds").spec() == ClipConfig(every_s=1.0).spec()
    with pytest.raises(ValueError, match="every_frames and every_s are both set"):
        ClipConfig(every_frames=9, every_s=0.5)
