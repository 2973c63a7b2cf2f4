"""faster-whisper, which bench.audio measures in processes of their own, with the same weights."""

import sys
import tempfile
from pathlib import Path

import numpy as np
from faster_whisper import WhisperModel, decode_audio

from bench.measure import report
from features.sound.whisper_weights import find_weights


def load(dtype: str, folder: Path) -> WhisperModel:
    """Join the parts of the `weights` extra into the folder that faster-whisper wants."""
    parts = find_weights("base").files
    (folder / "model.bin").write_bytes(b"".join(part.read_bytes() for part in parts))
    for name in ("config.json", "tokenizer.json", "vocabulary.txt"):
        (folder / name).write_bytes((parts[0].parent / name).read_bytes())
    return WhisperModel(str(folder), device="cpu", compute_type=dtype, cpu_threads=1)


def hear(files: list[str], model: WhisperModel) -> list[str]:
    """Transcribe greedily, one file after the other, each window by itself."""
    texts = []
    for file in files:
        segments, _ = model.transcribe(
            file, beam_size=1, temperature=0, condition_on_previous_text=False
        )
        texts.append("".join(segment.text for segment in segments))
    return texts


def encode(files: list[str], model: WhisperModel) -> None:
    """Encode each 30 s, one after the other; the states between the blocks are not to be had."""
    n_frames = model.feature_extractor.nb_max_frames
    for file in files:
        mel = model.feature_extractor(decode_audio(file))
        for start in range(0, mel.shape[1] - 1, n_frames):
            piece = mel[:, start : start + n_frames]
            padded = np.pad(piece, ((0, 0), (0, n_frames - piece.shape[1])))
            model.encode(padded)


if __name__ == "__main__":
    WAYS = {"hear": hear, "encode": encode}
    with tempfile.TemporaryDirectory() as place:
        loaded = load(sys.argv[2], Path(place))
        report(lambda: WAYS[sys.argv[1]](sys.argv[3:], loaded))
