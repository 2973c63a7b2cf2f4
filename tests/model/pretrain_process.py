"""One of the processes of a training, for the tests: `torchrun -m tests.model.pretrain_process`."""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from model.settings import PretrainConfig
from model.training.pretraining import pretrain, save_autoencoder
from model.training.world import join

CONFIG = PretrainConfig(hidden=4, epochs=3, batch=3, lr=1e-2, precision="fp32", device="cpu")
#: Seven clips in batches of three: the last batch has one, and one process nothing to do.
TRAIN, VAL = [0, 2, 3, 4, 6, 7, 8], [1, 5]


def read_clip(index: int) -> NDArray[np.uint8]:
    """A clip of 1 to 3 frames."""
    generator = np.random.default_rng(index)
    return generator.integers(0, 256, (3, 1 + index % 3, 4, 3), np.uint8)


def main(folder: Path) -> None:
    """Train, and leave the weights and the curve of the first process in the folder."""
    torch.set_num_threads(1)
    with join(CONFIG.device) as world:
        told = world.tell({"from": world.rank})
        found = pretrain(
            read_clip,
            TRAIN,
            VAL,
            CONFIG,
            state_file=folder / "state",
            on_epoch=lambda _report: None,
            world=world,
        )
        extra = {"curve": found.curve_document()}
        save_autoencoder(folder / f"rank-{world.rank}", found.last, extra)
        summary = {"size": world.size, "told": told}
        (folder / f"rank-{world.rank}.json").write_text(json.dumps(summary), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
