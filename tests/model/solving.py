"""One way for the tests to solve a model, save it, and score rows one at a time."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from model.base import Network, SolveRequest
from model.batches import collate
from model.blocks.past import Histories
from model.checkpoint import ModelCard, save_checkpoint
from model.solved.constants import Constants
from model.targets import QuartileEdges, TargetTransform
from tests.model.rows import log_target


@dataclass
class Solving:
    """A request for the rows, and what the run was told."""

    train: list
    val: list = field(default_factory=list)
    seed: int = 0
    notes: dict = field(default_factory=dict)
    histories: Histories | None = None
    target: TargetTransform | None = None
    foreseen: dict = field(default_factory=dict)

    def request(self) -> SolveRequest:
        texts: list[str] = []
        return SolveRequest(
            self.train,
            self.val,
            self.target or log_target(self.train),
            self.seed,
            Path("unused"),
            self.notes.__setitem__,
            texts.append,
            self.histories,
            lambda ids, points: self.foreseen.update(zip(ids, points, strict=True)),
        )


def scored(network: Network, rows) -> dict[str, np.ndarray]:
    """Point, low and high of each row, scored alone."""
    said = [network.outputs(collate([row], network.shapes)) for row in rows]
    return {
        name: torch.cat([getattr(one, name) for one in said]).numpy()
        for name in ("point", "low", "high")
        if getattr(said[0], name) is not None
    }


def rebuilt(network: Network) -> Network:
    """The same network from its config and tensors alone, as a checkpoint does it."""
    with torch.device("meta"):
        other = type(network)(type(network.config)(**vars(network.config)))
    tensors = {name: value.clone() for name, value in network.state_dict().items()}
    other.load_state_dict(tensors, strict=True, assign=True)
    return other.eval()


def saved(path: Path, network: Network, rows, kind: str = "modern") -> str:
    """Write a checkpoint of a network trained on the rows; the sha256 of the file."""
    views_k = [row.views_k for row in rows]
    card = ModelCard(kind, log_target(rows), QuartileEdges.fit(views_k), Constants.fit(views_k))
    return save_checkpoint(path, network, card)
