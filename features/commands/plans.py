"""How each kind of feature is made, by the application's settings."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from catalog.console import App
from catalog.errors import BadSettings

if TYPE_CHECKING:
    from catalog.facts import FeatureSetFacts
    from features.plan import AudioPlan, ClipPlan, FramesPlan, Plan, VisualPlan


def plan_of(app: App, kind: str, changes: Mapping[str, Any] | None = None) -> "Plan":
    """The plan of one kind by the application's settings; `changes` of them are audio's only."""
    if kind == "audio":
        return audio_plan(app, changes)
    plans: dict[str, Callable[[App], Plan]] = {
        "clip": clip_plan,
        "visual": visual_plan,
        "frames": frames_plan,
    }
    return plans[kind](app)


def clip_plan(app: App) -> "ClipPlan":
    """The clip feature set of the application's settings."""
    from features.plan import ClipPlan
    from features.settings import ClipConfig

    return ClipPlan(app.settings.of(ClipConfig), store_root(app))


def frames_plan(app: App) -> "FramesPlan":
    """The frames feature set of the application's settings. Raises BadSettings."""
    from features.plan import FramesPlan
    from features.settings import FramesConfig
    from features.video.frames import choose_weights

    config = app.settings.of(FramesConfig)
    with _settings("frames"):
        choose_weights(config.backbone, config.weights)
    return FramesPlan(config, store_root(app))


def audio_plan(app: App, changes: Mapping[str, Any] | None = None) -> "AudioPlan":
    """The audio feature set of the application's settings, some of them changed for this call.

    Raises BadSettings.
    """
    from features.plan import AudioPlan
    from features.settings import AudioConfig
    from features.sound.audio import settled

    with _settings("audio"):
        config = settled(app.settings_with(audio=changes or {}).of(AudioConfig))
    return AudioPlan(config, store_root(app))


def visual_plan(app: App) -> "VisualPlan":
    """The embeddings of this setting's clips by the newest autoencoder trained on such clips.

    Raises NotFound, which says to run `pretrain`, where there is none.
    """
    from features import steps
    from features.plan import VisualPlan
    from features.settings import VisualConfig

    clip_set = clip_plan(app).spec().hash
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

    needs = steps.find_set(app.catalog, clip_plan(app)) if kind == "visual" else None
    return plan_of(app, kind, changes), needs


@contextmanager
def _settings(section: str) -> Iterator[None]:
    """Turn what only a library can refuse into an error of the settings."""
    try:
        yield
    except ValueError as error:
        raise BadSettings(f"settings {section}: {error}") from error
