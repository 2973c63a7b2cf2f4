"""Commands that compute features: one file per subject."""

import click

from features.commands.extract import extract, features, run_drop_from_shards, run_extract
from features.commands.plans import clip_plan, plan_of, store_root
from features.commands.weights import weights

__all__ = [
    "COMMANDS",
    "clip_plan",
    "plan_of",
    "run_drop_from_shards",
    "run_extract",
    "store_root",
]

COMMANDS: list[click.Command] = [extract, features, weights]
