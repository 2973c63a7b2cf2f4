"""Commands that train and score: one file per subject."""

import click

from model.commands.models import models
from model.commands.predict import predict
from model.commands.pretraining import pretrain, run_pretrain
from model.commands.reading import compare, experiment, explain
from model.commands.retraining import retrain
from model.commands.splits import run_split, split
from model.commands.training import run_score, run_train, score, train

__all__ = ["COMMANDS", "run_pretrain", "run_score", "run_split", "run_train"]

COMMANDS: list[click.Command] = [
    pretrain,
    split,
    train,
    retrain,
    score,
    predict,
    compare,
    explain,
    experiment,
    models,
]
