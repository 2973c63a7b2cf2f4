"""» The model's door to the catalog: pretrain, split, train, score."""

from model.steps.figures import compare_autoencoders
from model.steps.pretrain import assist_pretraining, import_autoencoder, pretrain_autoencoder
from model.steps.score import count_to_score, score
from model.steps.split import create_split
from model.steps.train import TrainRequest, train

__all__ = [
    "TrainRequest",
    "assist_pretraining",
    "compare_autoencoders",
    "count_to_score",
    "create_split",
    "import_autoencoder",
    "pretrain_autoencoder",
    "score",
    "train",
]
