"""A contact sheet of one video: what the models saw and heard of it, and when.

`read_sheet` gathers it from the stored features and the media file; it is then drawn as a PNG here,
or filled into a page by a template. Nothing is computed anew but the wave, and small pictures of
the moments at which a network looked.
"""

import base64
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.io import wavfile

from catalog.facts import KnownFeature
from features.errors import FeatureError
from features.settings import SamplingConfig
from features.sound.waveform import MOMENTARY_HZ, read_waveform
from features.store import FeatureStore
from features.video.clip import fit_picture
from features.video.opening import NUMBERS
from features.video.reading import PictureRequest, read_frames

Pixels = NDArray[np.uint8]

PICTURE_PX: Final = 128  # the longer side; what is stored smaller is drawn larger, unblurred
N_COLUMNS: Final = 480  # of the wave
SOFTEST_LUFS: Final = -60.0
#: What looks at a media file's pictures, and keeps none of them.
LOOKS: Final = {"frames": "times_s", "ocr": "moments"}


@dataclass(frozen=True)
class Shot:
    """One picture (H, W, 3); at_s: when it is on show, None where that was not noted."""

    picture: Pixels
    at_s: float | None

    @property
    def data_url(self) -> str:
        """The picture, for a page that needs no other file."""
        file = BytesIO()
        Image.fromarray(self.picture).save(file, "PNG")
        return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


@dataclass(frozen=True)
class Strip:
    """The pictures of one kind, in their order."""

    kind: str
    caption: str
    shots: Sequence[Shot]


@dataclass(frozen=True)
class Words:
    """Words at a time; refused: why they are not kept, None where they are."""

    start_s: float
    end_s: float
    text: str
    refused: str | None = None


@dataclass(frozen=True)
class Wave:
    """Sound over time: the largest sample of each column, 0 to 1, and loudness every tenth of a s.

    loudness_lufs is empty where it could not be measured.
    """

    duration_s: float
    peaks: Sequence[float]
    loudness_lufs: Sequence[float] = ()


@dataclass(frozen=True)
class Sheet:
    """All that is shown of a video. missing: what is not there, and what makes it."""

    title: str
    address: str
    caption: str
    duration_s: float
    strips: Sequence[Strip] = ()
    wave: Wave | None = None
    words: Sequence[Words] = ()
    on_screen: Sequence[tuple[float, str]] = ()
    numbers: Mapping[str, float | None] = field(default_factory=dict)
    missing: Sequence[str] = ()

    def share(self, at_s: float) -> float:
        """Where a time lies on the sheet's axis, 0 to 1."""
        return min(max(at_s / self.duration_s, 0.0), 1.0) if self.duration_s > 0 else 0.0

    @property
    def ticks(self) -> list[int]:
        """Whole seconds for the axis: at most a dozen."""
        step = next(n for n in (1, 2, 5, 10, 30, 60, 120, 3_600) if self.duration_s / n <= 12)
        return list(range(0, int(self.duration_s) + 1, step))


def read_sheet(
    known: Mapping[str, KnownFeature],
    *,
    title: str,
    address: str,
    caption: str,
    store: FeatureStore,
    media: Path | None,
    kept_wav: Path | None,
    kinds: Sequence[str],
) -> Sheet:
    """Gather what there is. kinds: those that are told to be missing where they are."""
    missing = list(_missing(known, kinds))
    done = {kind: feature for kind, feature in known.items() if feature.status == "done"}
    strips = []
    for kind, read in (("thumbnail", _thumbnail), ("clip", _clip)):
        if kind in done:
            try:
                strips.append(read(done[kind], store))
            except FeatureError as error:
                missing.append(f"{kind} cannot be shown: {error}")
    if media is None or not media.is_file():
        missing.append("the media file is not here: run `viewcast fetch`")
        media = None
    for kind, key in LOOKS.items():
        if kind in done and media is not None:
            try:
                strips.append(_looks(kind, _moments(done[kind].detail, key), media))
            except FeatureError as error:
                missing.append(f"the pictures of {kind} cannot be shown: {error}")
    wave, without = _wave(media, kept_wav)
    if without:
        missing.append(without)
    heard = done["audio"].detail if "audio" in done else {}
    opening = done["opening"].detail if "opening" in done else {}
    lasts_s = [feature.detail.get("duration_s") for feature in done.values()]
    lasts_s += [heard.get("seconds"), None if wave is None else wave.duration_s]
    return Sheet(
        title=title,
        address=address,
        caption=caption,
        duration_s=max((float(length) for length in lasts_s if length), default=0.0),
        strips=[strip for strip in strips if strip.shots],
        wave=wave,
        words=_words(heard),
        on_screen=[
            (float(line["at_s"]), str(line["text"]))
            for line in (done["ocr"].detail.get("lines", []) if "ocr" in done else [])
        ],
        numbers={name: opening[name] for name in NUMBERS if name in opening},
        missing=missing,
    )


def _missing(known: Mapping[str, KnownFeature], kinds: Sequence[str]) -> Iterator[str]:
    for kind in kinds:
        feature = known.get(kind)
        if feature is None or feature.status in ("pending", "leased"):
            yield f"no {kind} yet: run `viewcast extract {kind}`"
        elif feature.status == "skipped":
            yield f"{kind} is absent: {feature.error_code}"
        elif feature.status != "done":
            yield f"{kind} failed: {feature.error_code}: {feature.error}"


def _stored(feature: KnownFeature, store: FeatureStore) -> dict[str, NDArray[Any]]:
    assert feature.uri is not None
    assert feature.row is not None
    return store.read(feature.uri, feature.row, sha256=feature.sha256)


def _thumbnail(feature: KnownFeature, store: FeatureStore) -> Strip:
    webp = _stored(feature, store)["webp"].tobytes()
    with Image.open(BytesIO(webp)) as picture:
        shot = Shot(np.asarray(picture.convert("RGB")), feature.detail.get("at_s"))
    return Strip("thumbnail", "The thumbnail.", [shot])


def _clip(feature: KnownFeature, store: FeatureStore) -> Strip:
    frames = _stored(feature, store)["frames"]
    times: Sequence[float | None] = feature.detail.get("times_s") or [None] * frames.shape[1]
    height_px, width_px = frames.shape[2:]
    shots = [
        Shot(_enlarged(frames[:, n].transpose(1, 2, 0)), at_s)
        for n, at_s in zip(range(frames.shape[1]), times, strict=True)
    ]
    caption = f"The clip: all that is seen of the video by `visual`, {width_px} x {height_px} each."
    return Strip("clip", caption, shots)


def _enlarged(picture: Pixels) -> Pixels:
    """A small picture larger, each of its pixels as a square."""
    times = max(PICTURE_PX // max(picture.shape[:2]), 1)
    return np.ascontiguousarray(picture.repeat(times, axis=0).repeat(times, axis=1))


def _moments(detail: Mapping[str, Any], key: str) -> list[float]:
    return [
        float(moment["at_s"] if isinstance(moment, Mapping) else moment)
        for moment in detail.get(key, [])
    ]


def _looks(kind: str, times_s: Sequence[float], media: Path) -> Strip:
    """Small pictures of the moments at which a network looked."""
    fit = partial(fit_picture, height_px=PICTURE_PX, width_px=PICTURE_PX, resize="area")
    shots = []
    for at_s in dict.fromkeys(times_s):
        # The frame on show then, and no other.
        sampling = SamplingConfig("seconds", start_s=at_s, max_frames=1)
        clip = read_frames(media, PictureRequest(sampling, fit))
        shots.append(Shot(_without_sides(clip.frames[:, 0].transpose(1, 2, 0)), at_s))
    return Strip(kind, f"Where `{kind}` looked; it sees these in its own size.", shots)


def _without_sides(picture: Pixels) -> Pixels:
    seen = np.flatnonzero(picture.any(axis=(0, 2)))
    return picture[:, seen[0] : seen[-1] + 1] if len(seen) else picture


def _wave(media: Path | None, kept_wav: Path | None) -> tuple[Wave | None, str]:
    """The sound of the media file or of the kept one, else why there is none."""
    if media is not None:
        try:
            found = read_waveform(media, loudness=True)
        except FeatureError as error:
            return None, f"no sound is shown: {error.code}"
        loudness = () if found.loudness is None else found.loudness.momentary_lufs.tolist()
        return Wave(found.duration_s, _peaks(found.samples), loudness), ""
    if kept_wav is not None and kept_wav.is_file():
        with suppress(ValueError):
            rate_hz, samples = wavfile.read(kept_wav)
            return Wave(len(samples) / rate_hz, _peaks(samples)), ""
    return None, ""


def _peaks(samples: NDArray[np.float32]) -> list[float]:
    edges = np.linspace(0, len(samples), min(N_COLUMNS, len(samples)) + 1).astype(np.intp)[:-1]
    peaks = np.maximum.reduceat(np.abs(samples), edges)
    return [round(min(float(peak), 1.0), 3) for peak in peaks]


def _words(heard: Mapping[str, Any]) -> list[Words]:
    said = [
        Words(float(part["start_s"]), float(part["end_s"]), str(part["text"]))
        for part in heard.get("segments", [])
    ]
    refused = [
        Words(
            float(part["start_s"]),
            float(part.get("end_s") or min(part["start_s"] + 30.0, heard.get("seconds", 0.0))),
            str(part.get("text") or ""),
            str(part["reason"]),
        )
        for part in heard.get("dropped", [])
    ]
    return sorted([*said, *refused], key=lambda words: words.start_s)


# Colours of the PNG, on white: text, what is beside it, sound, words, refused ones.
INK, FAINT, SOUND, SAID, REFUSED = "#1c2430", "#5a6675", "#2763c4", "#2f8f5b", "#c4472b"
WIDTH_PX, MARGIN_PX, LINE_PX = 1_080, 24, 20
WAVE_PX, LANE_PX = 96, 18
LONGEST_CHARS: Final = 140


class _Canvas:
    """A white sheet that is written from the top down, twice: once to learn how long it is."""

    def __init__(self, height_px: int) -> None:
        self.image = Image.new("RGB", (WIDTH_PX, max(height_px, 1)), "white")
        self.draw = ImageDraw.Draw(self.image)
        self.y = MARGIN_PX
        self.fonts = {size: ImageFont.load_default(size) for size in (13, 15, 20)}

    def text(self, line: str, colour: str = INK, size: int = 15, *, x: int = MARGIN_PX) -> None:
        cut = line if len(line) <= LONGEST_CHARS else line[: LONGEST_CHARS - 1] + "…"
        self.draw.text((x, self.y), cut, fill=colour, font=self.fonts[size])
        self.y += LINE_PX if size < 20 else 30

    def shots(self, shots: Sequence[Shot]) -> None:
        """Pictures in rows, with their times."""
        x, tallest = MARGIN_PX, 0
        for shot in shots:
            height_px, width_px = shot.picture.shape[:2]
            if x + width_px > WIDTH_PX - MARGIN_PX and x > MARGIN_PX:
                x, self.y, tallest = MARGIN_PX, self.y + tallest + LINE_PX + 4, 0
            self.image.paste(Image.fromarray(shot.picture), (x, self.y))
            if shot.at_s is not None:
                place = (x, self.y + height_px + 2)
                self.draw.text(place, f"{shot.at_s:.2f} s", fill=FAINT, font=self.fonts[13])
            x, tallest = x + max(width_px, 52) + 8, max(tallest, height_px)
        self.y += tallest + LINE_PX + 12

    def timeline(self, sheet: Sheet) -> None:
        """Sound and words, one above the other, along one axis."""
        span = WIDTH_PX - 2 * MARGIN_PX

        def at(seconds: float) -> float:
            return MARGIN_PX + sheet.share(seconds) * span

        if sheet.wave is not None:
            middle = self.y + WAVE_PX / 2
            step_s = sheet.wave.duration_s / max(len(sheet.wave.peaks), 1)
            for n, peak in enumerate(sheet.wave.peaks):
                half = max(peak * WAVE_PX / 2, 0.5)
                box = (at(n * step_s), middle - half, at((n + 1) * step_s), middle + half)
                self.draw.rectangle(box, fill=SOUND)
            points = [
                (at((n + 2) / MOMENTARY_HZ), self.y + WAVE_PX * loud / SOFTEST_LUFS)
                for n, loud in enumerate(max(one, SOFTEST_LUFS) for one in sheet.wave.loudness_lufs)
            ]
            if len(points) > 1:
                self.draw.line(points, fill=REFUSED, width=2)
            self.y += WAVE_PX + 6
        for words in sheet.words:
            colour = SAID if words.refused is None else REFUSED
            left = at(words.start_s)
            right = max(at(words.end_s), left + 2)
            self.draw.rectangle((left, self.y, right, self.y + LANE_PX - 4), fill=colour)
        self.y += LANE_PX
        for tick in sheet.ticks:
            label = f"{tick} s"
            self.draw.text((at(tick), self.y), label, fill=FAINT, font=self.fonts[13])
        self.y += LINE_PX + 8


def draw_sheet(sheet: Sheet) -> Image.Image:
    """Draw the sheet, as long as it needs to be. What is not Latin is boxes."""
    height_px = _drawn(sheet, 1).y + MARGIN_PX
    return _drawn(sheet, height_px).image


def _drawn(sheet: Sheet, height_px: int) -> _Canvas:
    canvas = _Canvas(height_px)
    canvas.text(sheet.title, size=20)
    for line in (sheet.address, *sheet.caption.splitlines()):
        canvas.text(line, FAINT)
    for strip in sheet.strips:
        canvas.text(strip.caption.replace("`", ""))
        canvas.shots(strip.shots)
    if sheet.duration_s > 0 and (sheet.wave is not None or sheet.words):
        canvas.text("Sound (blue: peaks, red line: loudness, 0 to -60 LUFS) and words")
        canvas.timeline(sheet)
    for line in word_lines(sheet):
        canvas.text(line)
    for line in number_lines(sheet):
        canvas.text(line, FAINT, size=13)
    for line in sheet.missing:
        canvas.text(line.replace("`", ""), REFUSED)
    return canvas


def word_lines(sheet: Sheet) -> list[str]:
    """What is said, what was refused, and what stands on screen, one line each."""
    lines = []
    for words in sheet.words:
        times = f"{words.start_s:6.2f} to {words.end_s:6.2f} s"
        reason = "" if words.refused is None else f"  [not kept: {words.refused}]"
        lines.append(f"{times}  {words.text}{reason}".rstrip())
    lines += [f"on screen at {at_s:.2f} s: {text}" for at_s, text in sheet.on_screen]
    return lines


def number_lines(sheet: Sheet) -> list[str]:
    """The numbers of `opening`, the first seconds beside the whole, one line each."""
    return [
        f"{name}: "
        + " in the opening, ".join(map(_shown, values))
        + (" in all" * (len(values) - 1))
        for name, values in number_rows(sheet)
    ]


def number_rows(sheet: Sheet) -> list[tuple[str, list[float | None]]]:
    """Each number's name with its values: of the opening and of the whole, or the only one."""
    rows: dict[str, list[float | None]] = {}
    for name, value in sheet.numbers.items():
        part, _, rest = name.partition("_")
        rows.setdefault(rest if part in ("opening", "whole") else name, []).append(value)
    return list(rows.items())


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
