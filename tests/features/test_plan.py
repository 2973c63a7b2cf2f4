"""Plans name their feature set without loading anything, and build what they named."""

import os
import pickle  # noqa: TID251 - what the process pool does with every plan
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from features.errors import WeightsMismatch, WeightsMissing
from features.plan import FilePlan, Plan, TextPlan, VisualPlan
from features.settings import AudioConfig, ClipConfig, FramesConfig, OcrConfig, TextConfig
from features.video.clip import ClipExtractor
from features.video.convlstm import ConvLstmAutoencoder, ConvLstmConfig
from features.video.frames import FramesExtractor
from features.video.visual import VisualExtractor
from model.training.pretraining import save_autoencoder

CLIPS = FilePlan("clip", ClipConfig(), "store")
VISUAL = VisualPlan("c" * 64, Path("autoencoder.safetensors"), "0" * 64, "store")
AUDIO = FilePlan("audio", AudioConfig(dtype="float32"), "store")
OCR = FilePlan("ocr", OcrConfig(), "store")
TEXT = TextPlan(TextConfig(), "store")
FRAMES = FilePlan("frames", FramesConfig("shufflenet_v2_x0_5", "random:0"), "store")


@pytest.fixture
def visual(tmp_path) -> VisualPlan:
    path = tmp_path / "autoencoder.safetensors"
    sha256 = save_autoencoder(path, ConvLstmAutoencoder(ConvLstmConfig(hidden=2)), {})
    return VisualPlan("c" * 64, path, sha256, str(tmp_path))


@pytest.mark.parametrize(
    "plan", [CLIPS, VISUAL, AUDIO, FRAMES, OCR, TEXT], ids=lambda plan: plan.spec().kind
)
def test_a_plan_travels_and_names_the_same_set_there(plan: Plan):
    there = pickle.loads(pickle.dumps(plan))
    assert there == plan
    assert there.spec().hash == plan.spec().hash


def test_kinds_and_settings_stand_in_the_spec():
    assert CLIPS.spec().kind == "clip"
    assert CLIPS.spec().config == ClipConfig().spec()
    assert CLIPS.spec().weights_sha256 is None
    assert VISUAL.spec().kind == "visual"
    assert VISUAL.spec().config == {"clip_set": "c" * 64}
    assert VISUAL.spec().weights_sha256 == "0" * 64
    assert AUDIO.spec().kind == "audio"
    assert AUDIO.spec().config["dtype"] == "float32"
    assert len(AUDIO.spec().weights_sha256 or "") == 64
    assert FRAMES.spec().kind == "frames"
    assert FRAMES.spec().config["backbone"] == "shufflenet_v2_x0_5"
    assert FRAMES.spec().config["weights"] == "random:0"


@pytest.mark.parametrize(
    ("plan", "change"),
    [
        (CLIPS, {"config": ClipConfig(every_frames=100)}),
        (CLIPS, {"config": ClipConfig(resize="paper")}),
        (VISUAL, {"clip_set": "d" * 64}),
        (VISUAL, {"weights_sha256": "1" * 64}),
        (AUDIO, {"config": AudioConfig(dtype="bfloat16")}),
        (AUDIO, {"config": AudioConfig(dtype="float32", transcript=False)}),
        (FRAMES, {"config": FramesConfig("shufflenet_v2_x0_5", "random:1")}),
        (FRAMES, {"config": FramesConfig("shufflenet_v2_x0_5", "random:0", n_frames=4)}),
        (OCR, {"config": OcrConfig(moments="1s")}),
        (TEXT, {"config": TextConfig(max_chars=100)}),
    ],
)
def test_what_changes_the_numbers_changes_the_set(plan, change):
    assert replace(plan, **change).spec().hash != plan.spec().hash


@pytest.mark.parametrize(
    ("plan", "change"),
    [
        (CLIPS, {"store_root": "s3://elsewhere"}),
        (VISUAL, {"weights": Path("copy.safetensors"), "device": "cuda"}),
        (AUDIO, {"store_root": "x", "config": AudioConfig(device="cuda", keep_wav=Path("wav"))}),
        (FRAMES, {"config": replace(FRAMES.config, device="cuda:1")}),
        (OCR, {"store_root": "s3://elsewhere"}),
        (TEXT, {"store_root": "s3://elsewhere"}),
    ],
)
def test_where_it_is_computed_and_stored_does_not(plan, change):
    assert replace(plan, **change).spec().hash == plan.spec().hash


def test_plans_build_their_extractors(visual):
    CLIPS.check()
    assert isinstance(CLIPS.build(), ClipExtractor)
    visual.check()
    assert isinstance(visual.build(), VisualExtractor)
    FRAMES.check()
    assert isinstance(FRAMES.build(), FramesExtractor)


def test_weights_that_are_gone_or_replaced_are_refused_before_any_work(visual):
    torch.manual_seed(1)
    save_autoencoder(visual.weights, ConvLstmAutoencoder(ConvLstmConfig(hidden=2)), {"new": 1})
    for use in (visual.check, visual.build):
        with pytest.raises(WeightsMismatch, match=f"the catalog says {visual.weights_sha256}"):
            use()
    visual.weights.unlink()
    for use in (visual.check, visual.build):
        with pytest.raises(WeightsMissing, match=r"autoencoder\.safetensors"):
            use()


def test_missing_whisper_weights_are_noticed_before_any_work(tmp_path, monkeypatch):
    with pytest.raises(WeightsMissing, match="nowhere"):
        replace(AUDIO, config=AudioConfig(weights=tmp_path / "nowhere.pt")).check()


def test_missing_picture_weights_are_noticed_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    plan = FilePlan("frames", FramesConfig(), "store")
    assert plan.spec().kind == "frames"
    for use in (plan.check, plan.build):
        with pytest.raises(WeightsMissing, match="viewcast weights fetch"):
            use()
    gone = replace(plan, config=FramesConfig(weights=str(tmp_path / "gone.pth")))
    for use in (gone.spec, gone.check, gone.build):
        with pytest.raises(WeightsMissing, match=r"gone\.pth"):
            use()


def test_a_clip_plan_loads_no_torch():
    script = (
        "import sys\n"
        "from features.settings import ClipConfig\n"
        "from features.plan import FilePlan\n"
        "plan = FilePlan('clip', ClipConfig(), 'store')\n"
        "plan.spec(), plan.check(), plan.build()\n"
        "sys.exit('torch' in sys.modules)\n"
    )
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", script]
    assert not subprocess.run(
        command, cwd=root, env={**os.environ, "PYTHONPATH": str(root)}
    ).returncode
