"""How large a network's inputs are, found from the rows it is trained on."""

from collections.abc import Iterable

from model.batches import AudioShape, ClipShape, Example, InputShapes, VisualShape
from model.networks.fused import FusedConfig
from model.registry import Preset


def clip_depth_of(preset: Preset) -> int | None:
    """How many frames of a clip the preset's network reads; None: it reads no clips."""
    depth = getattr(preset.network, "depth", None)
    return depth if isinstance(depth, int) else None


def shapes_of(rows: Iterable[Example], preset: Preset) -> InputShapes:
    """Find what the features look like from the first rows that have them."""
    visual: VisualShape | None = None
    audio: AudioShape | None = None
    clip: ClipShape | None = None
    for example in rows:
        if visual is None and example.visual is not None:
            channels, height, width = example.visual.shape
            visual = channels, height, width
        if audio is None and example.audio is not None:
            states, width = example.audio.shape
            audio = states, width
        if clip is None and example.clip is not None:
            channels, depth, height, width = example.clip.shape
            clip = channels, depth, height, width
        if clip is not None or (visual is not None and audio is not None):
            break
    if audio is None and isinstance(preset.network, FusedConfig):
        # Where no training video has a sound track, the network keeps the size its preset names.
        audio = preset.network.audio_states, preset.network.audio_width
    return InputShapes(visual, audio, clip)
