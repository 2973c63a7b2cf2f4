"""The steps of training and scoring, one file each: the model's only way to the catalog."""

from model.steps.compare import ComparedModels, compare
from model.steps.experiment import ExperimentRequest, run_experiment
from model.steps.explain import Explained, explain
from model.steps.figures import compare_autoencoders
from model.steps.predict import Predicted, PredictRequest, predict
from model.steps.pretrain import assist_pretraining, import_autoencoder, pretrain_autoencoder
from model.steps.score import count_to_score, load_model, reader_of, score
from model.steps.split import create_split, show_split
from model.steps.train import TrainRequest, train

__all__ = [
    "ComparedModels",
    "ExperimentRequest",
    "Explained",
    "PredictRequest",
    "Predicted",
    "TrainRequest",
    "assist_pretraining",
    "compare",
    "compare_autoencoders",
    "count_to_score",
    "create_split",
    "explain",
    "import_autoencoder",
    "load_model",
    "predict",
    "pretrain_autoencoder",
    "reader_of",
    "run_experiment",
    "score",
    "show_split",
    "train",
]
