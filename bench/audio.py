"""Hearing beside stock Whisper, one file after the other, and beside faster-whisper.

All have OpenAI's base weights and one thread. Speech: four files of 60 s, made of the same
sentences in another order each. Ours hears them in one batch, as `extract audio` does; the others
take one file at a time, which is the only way they offer. Music: 60 s that say nothing, for which
stock Whisper's default settings try up to six decodings a window.
"""

import subprocess
import sys
import tempfile
from importlib.util import find_spec
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import whisper
from whisper.audio import N_FRAMES, N_SAMPLES, load_audio, log_mel_spectrogram, pad_or_trim

from bench.measure import ROOT, Cost, Row, cost_of, report
from features.extractor import Extracted, Source
from features.settings import AudioConfig, Dtype, Lane
from features.sound.audio import AudioExtractor, fastest_dtype
from features.sound.waveform import SAMPLE_RATE_HZ, Mono, read_waveform, write_kept
from features.sound.whisper_weights import load_whisper

SPEECH = ROOT / "scraper" / "replica" / "speech"
N_FILES = 4
DURATION_S = 60
SHORT_S = 15
MUSIC = (
    "0.3*sin(2*PI*(220*pow(2,floor(mod(t*4,8))*2/12))*t)*exp(-3*mod(t,0.25))"
    "+0.2*sin(2*PI*55*t)*exp(-8*mod(t,0.5))"
)


def rows() -> list[Row]:
    """Measure every way; faster-whisper where it is installed."""
    with tempfile.TemporaryDirectory() as folder:
        files = make_speech(Path(folder))
        music = make_music(Path(folder))
        short = [cut_short(file, Path(folder)) for file in (files[0], music)]
        return [
            *_encoder(files),
            *_transcript(files),
            *_music(music),
            *_text_lane(short),
            _same_words(files),
        ]


def make_speech(folder: Path) -> list[str]:
    """Write the files of read sentences."""
    sentences = [read_waveform(path).samples for path in sorted(SPEECH.glob("*.flac"))]
    files = []
    for number in range(N_FILES):
        endless = cycle(sentences[number:] + sentences[:number])
        samples = np.concatenate(list(islice(endless, 20)))[: DURATION_S * SAMPLE_RATE_HZ]
        path = folder / f"speech_{number}.wav"
        write_kept(path, Mono(samples), SAMPLE_RATE_HZ, "bench")
        files.append(str(path))
    return files


def make_music(folder: Path) -> str:
    """Write a melody with a bass under it."""
    path = folder / "music.wav"
    source = f"aevalsrc='{MUSIC}':d={DURATION_S}:s=44100"
    command = ["ffmpeg", "-v", "error", "-nostdin", "-f", "lavfi", "-i", source, str(path)]
    subprocess.run(command, check=True)
    return str(path)


def cut_short(file: str, folder: Path) -> str:
    """Write the first quarter of a file, which is as long as most clips are."""
    path = folder / f"short_{Path(file).name}"
    command = ["ffmpeg", "-v", "error", "-nostdin", "-i", file, "-t", str(SHORT_S), str(path)]
    subprocess.run(command, check=True)
    return str(path)


def hear(files: list[str], extractor: AudioExtractor) -> list[str]:
    """Hear files as `extract audio` does, in one batch; the text of each."""
    sources = [Source(i, str(i), file) for i, file in enumerate(files)]
    results = extractor(sources)
    assert all(isinstance(result, Extracted) for result in results)
    return [r.detail.get("text", "") for r in results if isinstance(r, Extracted)]


def transcribe(files: list[str], network: whisper.Whisper, **options: object) -> list[str]:
    """Transcribe files with stock Whisper, one after the other."""
    return [network.transcribe(file, fp16=False, **options)["text"] for file in files]


def embed(files: list[str], network: whisper.Whisper) -> None:
    """Encode files with stock Whisper: each 30 s padded, one after the other."""
    for file in files:
        mel = log_mel_spectrogram(load_audio(file), padding=N_SAMPLES)
        for start in range(0, mel.shape[1] - N_FRAMES, N_FRAMES):
            network.embed_audio(pad_or_trim(mel[:, start : start + N_FRAMES], N_FRAMES)[None])


def _encoder(files: list[str]) -> list[Row]:
    what = "hours of sound per CPU hour, states or encoding only: "
    ours: dict[str, Cost] = {dtype: _ours("encode", dtype, files) for dtype in _dtypes()}
    others = {"stock Whisper": cost_of("bench.audio", "embed", "float32", files[0])}
    if find_spec("faster_whisper"):
        others["faster-whisper float32"] = _peer("encode", "float32", files[0])
    return _compare(what, ours, others)


def _transcript(files: list[str]) -> list[Row]:
    what = "hours of sound per CPU hour, speech, with transcript: "
    ours: dict[str, Cost] = {dtype: _ours("hear", dtype, files) for dtype in _dtypes()}
    others = {
        "stock Whisper greedy": cost_of("bench.audio", "greedy", "float32", files[0]),
        "stock Whisper default": cost_of("bench.audio", "default", "float32", files[0]),
    }
    if find_spec("faster_whisper"):
        others["faster-whisper float32 greedy"] = _peer("hear", "float32", files[0])
        others["faster-whisper int8 greedy"] = _peer("hear", "int8", files[0])
    found = _compare(what, ours, others)
    lone = cost_of("bench.audio", "hear", "float32", files[0])
    return found + _compare(what, {"float32, one file": lone}, dict(list(others.items())[:1]))


def _music(music: str) -> list[Row]:
    stock = cost_of("bench.audio", "default", "float32", music)
    what = "CPU seconds for a minute of music: "
    return [
        Row(
            f"{what}{dtype}",
            f"{cost.cpu_s:.2f} s",
            f"stock Whisper default {stock.cpu_s:.1f} s",
            f"{stock.cpu_s / cost.cpu_s:.1f}",
        )
        for dtype in _dtypes()
        for cost in [cost_of("bench.audio", "hear", dtype, music)]
    ]


def _text_lane(files: list[str]) -> list[Row]:
    found = []
    for file, what in zip(files, ("speech", "music"), strict=True):
        states = cost_of("bench.audio", "hear", "float32", file)
        for dtype in _dtypes():
            text = cost_of("bench.audio", "words", dtype, file)
            others = {"states float32": states}
            if find_spec("faster_whisper"):
                others["faster-whisper int8 greedy"] = _peer("hear", "int8", file)
            found += [
                Row(
                    f"CPU seconds for {SHORT_S} s of {what}, text lane {dtype}",
                    f"{text.cpu_s:.2f} s",
                    f"{name} {other.cpu_s:.2f} s",
                    f"{other.cpu_s / text.cpu_s:.1f}",
                )
                for name, other in others.items()
            ]
    return found


def _same_words(files: list[str]) -> Row:
    command = [sys.executable, "-m", "bench.audio", "same", "float32", *files]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return Row("files with the very text of stock Whisper greedy", done.stdout, "", "")


def _dtypes() -> list[Dtype]:
    """float32, and what "auto" takes on this machine where that is another."""
    return list(dict.fromkeys(["float32", fastest_dtype()]))


def _ours(way: str, dtype: str, files: list[str]) -> Cost:
    cost = cost_of("bench.audio", way, dtype, *files)
    return Cost(cost.cpu_s / len(files), cost.wall_s / len(files), cost.peak_mb)


def _peer(way: str, dtype: str, file: str) -> Cost:
    return cost_of("bench.audio_peers", way, dtype, file)


def _compare(what: str, ours: dict[str, Cost], others: dict[str, Cost]) -> list[Row]:
    return [
        Row(
            f"{what}{dtype}",
            f"{DURATION_S / cost.cpu_s:.1f} h, {cost.peak_mb:,.0f} MB",
            f"{name} {DURATION_S / other.cpu_s:.1f} h, {other.peak_mb:,.0f} MB",
            f"{other.cpu_s / cost.cpu_s:.2f}",
        )
        for dtype, cost in ours.items()
        for name, other in others.items()
    ]


def _main(way: str, dtype: Dtype, files: list[str]) -> None:
    network = load_whisper("base")
    if way in ("hear", "encode", "words"):
        lane: Lane = "text" if way == "words" else "states"
        config = AudioConfig(transcript=way != "encode", dtype=dtype, lane=lane)
        extractor = AudioExtractor(config, network=network)
        report(lambda: hear(files, extractor))
    elif way == "embed":
        report(lambda: embed(files, network))
    elif way == "default":
        report(lambda: transcribe(files, network))
    elif way == "greedy":
        report(lambda: transcribe(files, network, temperature=0, condition_on_previous_text=False))
    elif way == "same":
        stock = transcribe(files, network, temperature=0, condition_on_previous_text=False)
        ours = hear(files, AudioExtractor(AudioConfig(dtype=dtype), network=network))
        same = [a.split() == b.split() for a, b in zip(ours, stock, strict=True)]
        sys.stdout.write(f"{sum(same)} of {len(same)}")


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2], sys.argv[3:])  # type: ignore[arg-type]  # called from here only
