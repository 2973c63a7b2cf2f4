"""The `visual` feature: the autoencoder's embedding of a stored clip, whole and pooled."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from features.device import full_precision, resolve
from features.errors import CorruptFeature, FeatureError, MissingInput, NotFinite, WeightsMismatch
from features.extractor import Extracted, Source
from features.store import FeatureStore
from features.video.convlstm import DEPTHS, KIND, ConvLstmAutoencoder, ConvLstmConfig, normalise
from features.weights import load_foreign, load_weights

EXTRACTOR: Final = "convlstm"
#: Raised whenever the same clip and weights would give other numbers.
EXTRACTOR_VERSION: Final = "1"


class VisualExtractor:
    """Embeds stored clips in one padded batch with lengths, so that no row depends on another.

    Tensors of a row: embedding (C, H, W) float16, the encoder's last state, in about (-2, 2);
    pooled (3 C,) float32, each channel's mean, standard deviation and maximum over the picture.
    """

    def __init__(self, weights: Path, store: FeatureStore, *, device: str = "cpu") -> None:
        """Load the autoencoder. Raises DeviceMissing, WeightsMissing, WeightsMismatch."""
        self.device = resolve(device)
        self.network = load_autoencoder(weights).to(self.device).eval()
        self.store = store

    def __call__(self, sources: Sequence[Source]) -> list[Extracted | FeatureError]:
        """Embed each clip; one that cannot be read costs its own row."""
        clips = [self._read(source) for source in sources]
        embeddings = iter(self.embed([c for c in clips if not isinstance(c, FeatureError)]))
        return [
            clip if isinstance(clip, FeatureError) else _extracted(next(embeddings), clip.shape[1])
            for clip in clips
        ]

    def embed(self, clips: Sequence[NDArray[np.uint8]]) -> list[Tensor]:
        """Embed clips of (3, D, H, W), D as they come; returns (C, H, W) float32 each."""
        results: list[Tensor] = [torch.empty(0)] * len(clips)
        by_size: dict[tuple[int, int], list[int]] = {}
        for index, clip in enumerate(clips):
            by_size.setdefault((clip.shape[2], clip.shape[3]), []).append(index)
        for indices in by_size.values():
            padded, lengths = pad([clips[index] for index in indices], self.network.config)
            with torch.inference_mode(), full_precision(self.device):
                batch = self.network.encode(padded.to(self.device), lengths.to(self.device))
            for index, embedding in zip(indices, batch.float().cpu(), strict=True):
                results[index] = embedding
        return results

    def _read(self, source: Source) -> NDArray[np.uint8] | FeatureError:
        try:
            tensors = source.tensors
            if tensors is None:
                if source.uri is None or source.row is None:
                    raise MissingInput(f"video {source.tiktok_id} has no stored clip")
                tensors = self.store.read(source.uri, source.row)
            return tensors["frames"]
        except KeyError:
            return CorruptFeature(f"row {source.row} of {source.uri} is not a clip")
        except FeatureError as error:
            return error


def load_autoencoder(path: Path) -> ConvLstmAutoencoder:
    """Build the network that a weights file describes. Raises WeightsMissing, WeightsMismatch."""
    weights = load_weights(path, kind=KIND)
    try:
        network = ConvLstmAutoencoder(ConvLstmConfig(**weights.config))
        network.load_state_dict(dict(weights.tensors))
    except (TypeError, ValueError, RuntimeError) as error:
        raise WeightsMismatch(f"{path} does not fit the autoencoder: {error}") from error
    return network


def load_foreign_autoencoder(path: Path, *, normalised: bool = False) -> ConvLstmAutoencoder:
    """Build the autoencoder that somebody else's state dict fits, of whatever hidden size.

    Our names or the research code's. normalised: the weights were trained on pixels of 0..1.
    Raises WeightsMissing, WeightsMismatch.
    """
    state = load_foreign(path)
    try:
        gates = state["encoder_1.conv.weight"].shape
        hidden = gates[0] // 4
        network = ConvLstmAutoencoder(ConvLstmConfig(gates[1] - hidden, hidden, normalised))
        network.load_original(state)
    except (KeyError, IndexError, ValueError, RuntimeError) as error:
        names = ", ".join(sorted(state)[:4])
        raise WeightsMismatch(
            f"{path} does not fit the autoencoder; it holds {names}, …: {error}"
        ) from error
    if not all(bool(tensor.isfinite().all()) for tensor in network.state_dict().values()):
        raise WeightsMismatch(f"{path} holds infinities or NaN")
    return network


def pad(clips: Sequence[NDArray[Any]], config: ConvLstmConfig) -> tuple[Tensor, Tensor]:
    """Make one batch of uint8 clips (3, D, H, W) of any length, the way the network was trained.

    returns: (B, 3, D, H, W) float32 on the network's scale, and the real lengths (B,) int64
    """
    batch, lengths = DEPTHS[config.depth](clips, config.depth_frames)
    return normalise(batch) if config.normalised else batch.to(torch.float32), lengths


def _extracted(embedding: Tensor, n_frames: int) -> Extracted | FeatureError:
    if not bool(torch.isfinite(embedding).all()):
        return NotFinite("the autoencoder gave infinities or NaN")
    flat = embedding.flatten(1)
    pooled = torch.cat([flat.mean(1), flat.std(1, correction=0), flat.amax(1)])
    tensors = {"embedding": embedding.half().numpy(), "pooled": pooled.numpy()}
    return Extracted(tensors, {"n_frames": n_frames})
