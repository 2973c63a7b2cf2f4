"""How each kind of feature is made, by the application's settings."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from catalog.console import App
from catalog.errors import BadSettings

if TYPE_CHECKING:
    from catalog.facts import FeatureSetFacts
    from features.plan import FilePlan, Plan, TextPlan, VisualPlan

log = logging.getLogger(__name__)


def plan_of(app: App, kind: str, changes: Mapping[str, Any] | None = None) -> "Plan":
    """The plan of one kind by the application's settings, some of them changed for this call."""
    if kind == "text":
        return text_plan(app)
    return visual_plan(app) if kind == "visual" else file_plan(app, kind, changes)


def text_plan(app: App) -> "TextPlan":
    """The sentence vectors of the videos' texts."""
    from features.plan import TextPlan
    from features.settings import TextConfig

    return TextPlan(app.settings.of(TextConfig), store_root(app))


def file_plan(app: App, kind: str, changes: Mapping[str, Any] | None = None) -> "FilePlan":
    """The plan of a kind that is made of media files. Raises BadSettings."""
    from features.kinds import KINDS
    from features.plan import FilePlan

    # Without changes the settings themselves: what is wrong with them is then no flag's fault.
    settings = app.settings_with(**{kind: changes}) if changes else app.settings
    config = settings.of(KINDS[kind].config)
    with _settings(kind):
        return FilePlan.settled(kind, config, store_root(app))


def plans_of_files(app: App, named: Sequence[str] = ()) -> "tuple[list[FilePlan], dict[str, str]]":
    """The plans of several kinds, and why some of them are left out: their weights are not here.

    named: by a person, and then none is left out; none named: those of the setting extract.kinds.
    Raises BadSettings for what is no kind; WeightsMissing for a kind that is never left out.
    """
    from features.errors import WeightsMismatch, WeightsMissing
    from features.kinds import KINDS
    from features.settings import ExtractConfig

    kinds = named or app.settings.of(ExtractConfig).kinds
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        names = ", ".join(KINDS)
        whose = "--kind" if named else "extract.kinds"
        raise BadSettings(f"{whose}: {', '.join(unknown)} is none of {names}")
    plans, left_out = [], {}
    for kind in dict.fromkeys(kinds):
        may_lack_weights = KINDS[kind].may_lack_weights and not named
        try:
            plan = file_plan(app, kind)
            if may_lack_weights:
                plan.check()
        except (WeightsMissing, WeightsMismatch) as error:
            if not may_lack_weights:
                raise
            left_out[kind] = str(error)
        else:
            plans.append(plan)
    return plans, left_out


def has_weights(app: App, kind: str) -> bool:
    """Whether a kind can be made here: its weights, or its package, are on the machine."""
    from features.errors import WeightsMismatch, WeightsMissing

    try:
        plan_of(app, kind).check()
    except WeightsMissing:
        return False
    except WeightsMismatch as error:  # such as another version of the package
        log.warning("no %s: %s", kind, error)
        return False
    return True


def visual_plan(app: App) -> "VisualPlan":
    """The embeddings of this setting's clips by the newest autoencoder trained on such clips.

    Raises NotFound, which says to run `pretrain`, where there is none.
    """
    from features import steps
    from features.plan import VisualPlan
    from features.settings import VisualConfig

    clip_set = file_plan(app, "clip").spec().hash
    weights = steps.find_autoencoder(app.catalog, clip_set)
    path = app.settings.data_folder / weights.artifact_uri
    device = app.settings.of(VisualConfig).device
    return VisualPlan(clip_set, path, weights.sha256, store_root(app), device)


def store_root(app: App) -> str:
    """Root of the feature store."""
    return app.settings.features_root or str(app.settings.data_folder / "features")


def plan_and_input(
    app: App, kind: str, changes: Mapping[str, Any] | None = None
) -> "tuple[Plan, FeatureSetFacts | None]":
    """The plan of a kind, and the feature set that it is made from."""
    from features import steps

    needs = steps.find_set(app.catalog, file_plan(app, "clip")) if kind == "visual" else None
    return plan_of(app, kind, changes), needs


@contextmanager
def _settings(section: str) -> Iterator[None]:
    """Turn what only a library can refuse into an error of the settings."""
    try:
        yield
    except ValueError as error:
        raise BadSettings(f"settings {section}: {error}") from error
