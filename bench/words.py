"""Which words are kept of the sounds of `bench.words_corpus`, ours beside stock Whisper's.

`python -m bench.words hear FOLDER OUT` hears the held half as `extract audio` does, `stock` the
same with stock Whisper's default settings, each into a file of answers; `score FOLDER OUT…` makes
of each a line of the table, of the sounds that all of them have answered. An earlier state of the
project is scored by answers of its own. `cost FOLDER OUT` times a minute of music, noise and
speech, for the state that it is run in.
"""

import json
import re
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from scipy.io import wavfile

from bench.words_corpus import RATE_HZ, Sound
from features.extractor import Extracted, Source
from features.settings import AudioConfig
from features.sound.audio import AudioExtractor
from features.sound.whisper_weights import load_whisper

Answers = dict[str, str]
#: The rules were chosen on the other half.
HELD = 1
#: Whisper writes numbers as digits, and some languages without spaces: only their windows count.
WITHOUT_WORDS = re.compile("count|conte|compt|gin|liczenie|contagem|kazoe|jishu|-(ja|zh|cmn|hi)-?")


@dataclass(frozen=True)
class Score:
    """Sounds and words: kept and said, kept, said."""

    sounds: tuple[int, int, int]
    words: tuple[int, int, int]

    def row(self, name: str) -> str:
        """One line of the table: precision and recall of sounds, then of words."""
        parts = []
        for right, kept, said in (self.sounds, self.words):
            parts += [f"{right / max(1, kept):.3f}", f"{right / max(1, said):.3f}"]
        return f"| {name} | {' | '.join(parts)} | {self.sounds[1] - self.sounds[0]} |"


def items(folder: Path) -> list[dict[str, str | int | None]]:
    """Return the held half, shuffled: of a run that was broken off there is a fair sample."""
    lines = (folder / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
    held = [item for item in map(json.loads, lines) if item["half"] == HELD]
    return sorted(held, key=lambda item: sha256(item["name"].encode()).digest())


def hear(folder: Path, names: list[str], *, batch: int = 16) -> Iterator[Answers]:
    """Hear as `extract audio` does."""
    extractor = AudioExtractor(AudioConfig(device="cpu"))
    for begin in range(0, len(names), batch):
        some = names[begin : begin + batch]
        sources = [Source(i, str(i), str(folder / f"{name}.wav")) for i, name in enumerate(some)]
        results = extractor(sources)
        yield {
            name: result.detail["text"]
            for name, result in zip(some, results, strict=True)
            if isinstance(result, Extracted)
        }


def stock(folder: Path, names: list[str]) -> Iterator[Answers]:
    """Transcribe with stock Whisper's defaults, whose second tries are drawn: seeded for each."""
    network = load_whisper("base")
    for name in names:
        torch.manual_seed(0)
        sound = wavfile.read(folder / f"{name}.wav")[1].astype(np.float32) / 32768
        yield {name: network.transcribe(sound, fp16=False)["text"]}


def score(folder: Path, answers: Answers) -> Score:
    """Compare what was kept with what was said, of the sounds that there is an answer for."""
    sounds, words = [0, 0, 0], [0, 0, 0]
    for item in items(folder):
        name, said = str(item["name"]), item["said"]
        if name not in answers:
            continue
        kept = plain(answers[name])
        for place, is_so in enumerate((kept and said != "", kept, said != "")):
            sounds[place] += bool(is_so)
        if isinstance(said, str) and not WITHOUT_WORDS.search(name):
            wanted = plain(said)
            for place, n in enumerate((in_common(wanted, kept), len(kept), len(wanted))):
                words[place] += n
    return Score((sounds[0], sounds[1], sounds[2]), (words[0], words[1], words[2]))


def plain(text: str) -> list[str]:
    """Take a text apart into words, without case and marks."""
    return re.findall(r"[^\W_]+(?:'[^\W_]+)*", unicodedata.normalize("NFKC", text).lower())


def in_common(one: list[str], other: list[str]) -> int:
    """How many words both have in the same order."""
    row = [0] * (len(other) + 1)
    for word in one:
        before = 0
        for place, beside in enumerate(other, 1):
            before, row[place] = (
                row[place],
                before + 1 if word == beside else max(row[place], row[place - 1]),
            )
    return row[-1]


def cost(folder: Path) -> dict[str, float]:
    """CPU seconds for a minute of each kind: its sounds joined, in files of 60 s, in one batch."""
    extractor = AudioExtractor(AudioConfig(device="cpu", dtype="float32"))
    lines = (folder / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
    found = {}
    for kind in ("music", "noise", "animal", "song", "speech"):
        names = [item["name"] for item in map(json.loads, lines) if item["kind"] == kind]
        sounds: list[Sound] = [wavfile.read(folder / f"{name}.wav")[1] for name in names]
        joined = np.concatenate(sounds)[: 4 * 60 * RATE_HZ]
        paths = []
        for number in range(len(joined) // (60 * RATE_HZ)):
            paths.append(folder / f"cost_{kind}_{number}.wave")
            part = joined[number * 60 * RATE_HZ : (number + 1) * 60 * RATE_HZ]
            wavfile.write(paths[-1], RATE_HZ, part)
        sources = [Source(i, str(i), str(path)) for i, path in enumerate(paths)]
        begin = time.process_time()
        extractor(sources)
        found[kind] = (time.process_time() - begin) / len(paths)
    return found


WAYS: dict[str, Callable[[Path, list[str]], Iterator[Answers]]] = {"hear": hear, "stock": stock}


def main(way: str, folder: Path, outs: list[Path]) -> None:
    """Answer, score or time."""
    if way == "cost":
        outs[0].write_text(json.dumps(cost(folder)), encoding="utf-8")
    elif way == "score":
        answered = [json.loads(out.read_text(encoding="utf-8")) for out in outs]
        common = set.intersection(*map(set, answered))
        for out, answers in zip(outs, answered, strict=True):
            same = {name: answers[name] for name in common}
            sys.stdout.write(score(folder, same).row(out.stem) + "\n")
    else:
        answers = {}
        for some in WAYS[way](folder, [str(item["name"]) for item in items(folder)]):
            answers |= some
            outs[0].write_text(json.dumps(answers, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), [Path(out) for out in sys.argv[3:]])
