"""What the commands of this stage name or need: a model, a feature set, the store."""

import re
from typing import TYPE_CHECKING

import click

from catalog.console import App

if TYPE_CHECKING:
    from catalog.facts import FeatureSetFacts, ModelFacts
    from features.store import FeatureStore

VERSION = re.compile("[0-9]{1,9}")  # what the catalog's integers hold

again_option = click.option("--again", is_flag=True, help="Even if exactly this was done before.")


LATEST = "latest"


def who() -> str:
    """Name whoever asks, for the history."""
    import getpass
    import os

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have a number alone
        return f"user {os.getuid()}"


def find_model_named(app: App, text: str | None, *, is_exact: bool = False) -> "ModelFacts":
    """Find NAME, NAME:VERSION, NAME:latest or NAME@ALIAS; None is the setting score.model.

    A bare NAME is what is in use: NAME@production where that alias is set, else the newest version,
    which is said on stderr. is_exact: a bare NAME will not do.
    """
    from catalog.read.lookup import find_model
    from catalog.read.model_history import model_in_use
    from model.settings import ScoreConfig

    text = text or app.settings.of(ScoreConfig).model
    name, _, alias = text.partition("@")
    name, _, version = name.partition(":")
    is_newest = version == LATEST
    if not name or (version and not is_newest and VERSION.fullmatch(version) is None):
        raise click.UsageError(
            f"{text!r} is no model: write NAME, NAME:VERSION, NAME:{LATEST} or NAME@ALIAS"
        )
    is_bare = not version and not alias
    if is_bare and is_exact:
        raise click.UsageError(f"which version of {name}? Write {name}:VERSION or {name}:{LATEST}")
    with app.catalog.read() as session:
        if not is_bare:
            number = None if is_newest or not version else int(version)
            return find_model(session, name=name, version=number, alias=alias or None)
        model, remark = model_in_use(session, name)
    if remark is not None:
        click.echo(f"viewcast: {remark}", err=True)
    return model


def feature_set_of(app: App, kind: str) -> "FeatureSetFacts":
    """The feature set of the application's settings. Raises NotFound where nothing is extracted."""
    from catalog.errors import NotFound
    from catalog.read.lookup import find_feature_set, has_feature_set
    from features.commands import plan_of

    found = None
    with app.catalog.read() as session:
        # Asked first: to name a set of frames, torchvision has to be loaded.
        is_there = has_feature_set(session, kind)
    if is_there:
        spec = plan_of(app, kind).spec()
        with app.catalog.read() as session:
            found = find_feature_set(session, spec.kind, spec.hash)
    if found is None:
        raise NotFound(f"no {kind} feature of these settings yet: run `viewcast extract {kind}`")
    return found


def store_of(app: App) -> "FeatureStore":
    """Give the feature store of the application's settings."""
    from features.commands import store_root
    from features.store import FeatureStore

    return FeatureStore(store_root(app))
