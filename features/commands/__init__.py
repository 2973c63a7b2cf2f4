"""Commands that compute features: one file per subject."""

import click

from features.commands.extract import (
    extract,
    features,
    run_drop_from_shards,
    run_extract,
    run_extract_files,
)
from features.commands.plans import has_weights, plan_of, store_root
from features.commands.weights import weights

__all__ = [
    "COMMANDS",
    "has_weights",
    "plan_of",
    "run_drop_from_shards",
    "run_extract",
    "run_extract_files",
    "store_root",
]

COMMANDS: list[click.Command] = [extract, features, weights]
