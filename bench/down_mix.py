"""The down-mix of features.sound.waveform beside Whisper's own loader, sample by sample.

The files are noise, another in each channel, so that a wrong weight of any of them is seen; the
loader's samples have 16 bits, so that half a step of them is the least difference there is.
"""

import math
import subprocess
import tempfile
from pathlib import Path
from typing import Final

import numpy as np
from whisper.audio import load_audio

from bench.measure import Row
from features.sound.waveform import read_waveform

STEP: Final = 2**-15
LAYOUTS: Final = {
    "mono": 1,
    "stereo": 2,
    "2.1": 3,
    "3.0": 3,
    "quad": 4,
    "5.0": 5,
    "5.1": 6,
    "6.1": 7,
    "7.1": 8,
}
#: suffix, codec, rate
CODINGS: Final = (
    ("wav", "pcm_s16le", 16_000),
    ("wav", "pcm_s16le", 44_100),
    ("wav", "pcm_s32le", 48_000),
    ("wav", "pcm_f32le", 48_000),
    ("flac", "flac", 96_000),
    ("mkv", "pcm_f32le", 22_050),
    ("mp4", "aac", 44_100),
    ("mkv", "aac", 48_000),
)


def rows() -> list[Row]:
    """Measure every layout in every coding; one row a layout, with the worst of them."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for layout, n_channels in LAYOUTS.items():
            gains, steps = [], []
            for suffix, codec, rate_hz in CODINGS:
                path = Path(folder) / f"{layout}_{codec}_{rate_hz}.{suffix}"
                make_noise(path, codec, layout, n_channels, rate_hz)
                gain, step = compare(path)
                gains.append(gain)
                steps.append(step)
            worst = max(gains, key=abs)
            ours = f"{worst:+.2f} dB, {max(steps):.1f} steps of 2^-15 apart at most"
            what = f"down-mix of {layout}, worst of {len(gains)} codings"
            found.append(Row(what, ours, "whisper.load_audio", ""))
    return found


def make_noise(path: Path, codec: str, layout: str, n_channels: int, rate_hz: int) -> None:
    """Write two seconds."""
    noise = np.random.default_rng(0).normal(0, 0.1, (2 * rate_hz, n_channels)).astype("<f4")
    command = ["ffmpeg", "-v", "error", "-nostdin", "-y", "-f", "f32le", "-ar", str(rate_hz)]
    command += ["-channel_layout", layout, "-ac", str(n_channels), "-i", "pipe:0"]
    subprocess.run([*command, "-c:a", codec, str(path)], input=noise.tobytes(), check=True)


def compare(path: Path) -> tuple[float, float]:
    """Gain over Whisper's loader in dB, and the largest difference in its 16-bit steps."""
    ours = np.clip(read_waveform(path).samples, -1, 1 - STEP)
    theirs = load_audio(str(path))
    assert len(ours) == len(theirs)
    power = float(np.mean(ours.astype(float) ** 2) / np.mean(theirs.astype(float) ** 2))
    return 10 * math.log10(power), float(np.abs(ours - theirs).max()) / STEP
