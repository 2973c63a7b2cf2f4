"""» The model's door to the catalog: pretrain, split, train, score."""

from model.steps.pretrain import pretrain_autoencoder
from model.steps.score import count_to_score, score
from model.steps.split import create_split
from model.steps.train import TrainRequest, train

__all__ = [
    "TrainRequest",
    "count_to_score",
    "create_split",
    "pretrain_autoencoder",
    "score",
    "train",
]
