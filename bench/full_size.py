"""The paper's fused network at its full size, 835 million parameters: memory and time.

Training needs its weights, their gradients and Adam's two averages; the limit beside it is those
four and nothing else. Scoring needs the weights, and reads them where they lie in the file.
`python -m bench.full_size train|score FOLDER` is what each row runs in a process of its own; the
folder takes up to 30 GB.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from bench.measure import ROOT, Row, peak_memory_mb
from model.batches import Example
from model.checkpoint import ModelCard, load_checkpoint, save_checkpoint
from model.registry import PRESETS, find_kind
from model.scoring import Scorer
from model.solved.constants import Constants
from model.targets import QuartileEdges, TargetTransform
from model.training.fit import fit

N_PARAMETERS = 835_170_945
WEIGHTS_MB = 4 * N_PARAMETERS / 1e6
ADAM_COPIES = 4  # weights, gradients, two averages
BATCH, EPOCHS = 4, 2
SPACE_MB = 30_000


def rows() -> list[Row]:
    """Train for two epochs of one step, then score one row with what came out."""
    with tempfile.TemporaryDirectory() as folder:
        if shutil.disk_usage(folder).free < SPACE_MB * 1e6:
            raise RuntimeError(f"{folder} has no room for the {SPACE_MB / 1e3:.0f} GB it takes")
        trained = _run("train", folder)
        scored = _run("score", folder)
    limit_mb = ADAM_COPIES * WEIGHTS_MB
    return [
        Row(
            f"paper at full size, training steps of {BATCH} rows in fp32, peak memory",
            f"{trained['peak_mb'] / 1e3:.1f} GB ({trained['own_mb'] / 1e3:.1f} of its own)",
            f"limit {limit_mb / 1e3:.1f} GB",
            f"{limit_mb / trained['peak_mb']:.2f}",
        ),
        Row(
            "paper at full size, one step and one row to validate; with its state written",
            f"{trained['step_s']:.1f} s; {trained['wall_s'] / EPOCHS:.0f} s "
            f"({trained['cpu_s'] / EPOCHS:.0f} CPU s)",
            "-",
            "-",
        ),
        Row(
            "paper at full size, reading the model and scoring one row, memory of its own",
            f"{scored['own_mb'] / 1e3:.2f} GB, {scored['wall_s']:.1f} s",
            f"weights {WEIGHTS_MB / 1e3:.1f} GB",
            f"{WEIGHTS_MB / scored['own_mb']:.1f}",
        ),
    ]


def train(folder: Path) -> dict[str, float]:
    """Train on random rows with the paper's settings and save the model."""
    examples = [_example(video_id) for video_id in range(BATCH + 1)]
    views_k = [example.views_k or 0.0 for example in examples]
    preset = PRESETS["paper"]
    assert preset.fit is not None
    target = TargetTransform.fit(views_k, preset.target)
    network = find_kind(preset.kind).build(preset.network)
    own: list[float] = []
    began, cpu_began = time.perf_counter(), time.process_time()
    result = fit(
        network,
        examples[:BATCH],
        examples[BATCH:],
        replace(preset.fit, epochs=EPOCHS, device="cpu"),
        target,
        on_epoch=lambda _report: own.append(own_memory_mb()),
        state_file=folder / "model.state",
    )
    wall_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
    peak_mb = peak_memory_mb()
    (folder / "model.state").unlink()
    card = ModelCard("fused", target, QuartileEdges.fit(views_k), Constants.fit(views_k))
    save_checkpoint(folder / "model.safetensors", network, card)
    return {
        "peak_mb": peak_mb,
        "peak_with_saving_mb": peak_memory_mb(),
        "own_mb": max(own),
        "step_s": min(report.seconds for report in result.curve),
        "wall_s": wall_s,
        "cpu_s": cpu_s,
    }


def score(folder: Path) -> dict[str, float]:
    """Read the model and score a row."""
    before_mb = own_memory_mb()
    began = time.perf_counter()
    held = load_checkpoint(folder / "model.safetensors")
    Scorer(held.network, held.card.target)(_example(0))
    return {
        "own_mb": own_memory_mb() - before_mb,
        "peak_mb": peak_memory_mb(),
        "wall_s": time.perf_counter() - began,
    }


def own_memory_mb() -> float:
    """Memory that no file stands behind, and that the system cannot take back."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:")) * 1024 / 1e6


def _example(video_id: int) -> Example:
    generator = torch.Generator().manual_seed(video_id)
    return Example(
        video_id,
        torch.randn(64, 128, 72, generator=generator),
        torch.randn(7, 512, generator=generator),
        views_k=10.0 * (video_id + 1),
    )


def _run(what: str, folder: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "bench.full_size", what, folder],
        cwd=ROOT,
        env={**os.environ},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    costs: dict[str, float] = json.loads(done.stdout)
    return costs


if __name__ == "__main__":
    sys.stdout.write(json.dumps({"train": train, "score": score}[sys.argv[1]](Path(sys.argv[2]))))
