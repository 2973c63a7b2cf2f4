"""Where in a sound a human voice is heard: Silero's network, whose weights its package brings.

Whisper writes words for whatever it is given; this network, a thousandth of the cost of Whisper's,
says whether there is a voice to say them. It hears speech and most singing; what it tells is one
of several signs in `guard`, never the only one.
"""

from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name the whole world knows it by

from catalog.files import sha256_of
from features.errors import WeightsMismatch, WeightsMissing

PACKAGE: Final = "silero-vad"
_FILE: Final = "silero_vad/data/silero_vad_16k.safetensors"
#: A part of every transcript's feature set: other weights would let other windows through.
SHA256: Final = "c59271c284ae9c8335d795d60e0bfdb71aaaceec578d9bd9ffc1b8153c319ea1"

#: The network looks at 32 ms of sound at a time, with 4 ms of what came before.
STEP: Final = 512
_BEFORE: Final = 64
STEP_S: Final = STEP / 16_000
#: A voice is what the network takes for one at least as likely as not.
VOICE_FROM: Final = 0.5


def find_weights() -> Path:
    """Return the file of weights.

    Raises WeightsMissing where the package is not installed, WeightsMismatch where it has others.
    """
    try:
        path = Path(str(metadata.distribution(PACKAGE).locate_file(_FILE)))
        found = sha256_of(path)
    except (metadata.PackageNotFoundError, FileNotFoundError) as error:
        raise WeightsMissing(
            f"nothing to hear voices with: install the package {PACKAGE}, or set audio.transcript "
            "to false, which leaves the words out"
        ) from error
    if found != SHA256:
        raise WeightsMismatch(f"{path} has sha256 {found}, expected {SHA256}")
    return path


@cache
def _network() -> tuple[dict[str, Tensor], nn.LSTM]:
    weights = load_file(find_weights())
    memory = nn.LSTM(128, 128)
    parts = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    memory.load_state_dict({f"{part}_l0": weights[f"lstm_cell.{part}"] for part in parts})
    return weights, memory.requires_grad_(False)


@torch.inference_mode()
def voice_probs(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Tell how likely each 32 ms hold a voice: (ceil(N / 512),), of mono sound at 16 kHz.

    The network's own way is one step after the other; here all steps go through its convolutions
    at once, and only its memory walks.
    """
    weights, memory = _network()
    n_steps = -(-len(samples) // STEP)
    sound = torch.from_numpy(_levelled(samples))
    sound = F.pad(sound, (_BEFORE, n_steps * STEP - len(samples)))
    steps = sound.unfold(0, _BEFORE + STEP, STEP)
    x = F.pad(steps[:, None], (0, _BEFORE), mode="reflect")
    x = F.conv1d(x, weights["stft_conv.weight"], stride=128)
    half = x.shape[1] // 2
    x = (x[:, :half] ** 2 + x[:, half:] ** 2).sqrt()
    for number, stride in enumerate((1, 2, 2, 1), 1):
        weight, bias = weights[f"conv{number}.weight"], weights[f"conv{number}.bias"]
        x = F.relu(F.conv1d(x, weight, bias, stride=stride, padding=1))
    x = F.relu(memory(x.permute(0, 2, 1))[0][:, 0])
    x = x @ weights["final_conv.weight"][0, :, 0] + weights["final_conv.bias"]
    return np.asarray(torch.sigmoid(x).numpy(), np.float32)


def voiced_frames(samples: NDArray[np.float32], n_frames: int) -> NDArray[np.bool_]:
    """Tell in which of Whisper's 20 ms frames a voice is heard: (n_frames,)."""
    middles = np.arange(n_frames) * 320 + 160
    probs = voice_probs(samples)
    return probs[np.minimum(middles // STEP, len(probs) - 1)] >= VOICE_FROM


def _levelled(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    # The network hears less in what is soft; Whisper does not, whose spectrogram is measured from
    # its loudest point. What a file says must not hang on how loud it was copied.
    loud = float(np.quantile(np.abs(samples), 0.999)) if len(samples) else 0.0
    return samples * np.float32(0.5 / loud) if loud > 0 else samples
