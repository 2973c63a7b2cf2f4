"""Commands that train and score: one file per subject."""

import click

from model.commands.models import models
from model.commands.pretraining import pretrain, run_pretrain
from model.commands.training import run_score, run_split, run_train, score, split, train

__all__ = ["COMMANDS", "run_pretrain", "run_score", "run_split", "run_train"]

COMMANDS: list[click.Command] = [pretrain, split, train, score, models]
