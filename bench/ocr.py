"""Reading drawn words: how many are read, how sure, what is read where there is none, at what cost.

Half of the pictures are two photographs that scikit-learn ships, cut and sized by chance; the
others are blobs, tiles and drawn shapes. All go through JPEG, as through a codec. Words have 11 to
44 px in 852 rows, four lines a picture, a quarter of them Chinese or Japanese.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_sample_images

from bench.measure import Row
from features.video import ocr
from features.video.ocr import Reader

HEIGHT, WIDTH = 852, 480
N_PICTURES: Final = 48
SIZES_PX: Final = (11, 14, 18, 24, 32, 44)
WORDS: Final = (
    "wait for it story time when your boss says new recipe part two follow me for more link in bio "
    "best day ever how to make pasta in five minutes never again this changed everything 50% off"
)
OTHER_LETTERS: Final = (
    "今天的晚餐",
    "新的故事",
    "關注我們",
    "最好的一天",
    "ありがとう",
    "舞蹈挑战",
)
COLOURS: Final = ((255, 255, 255), (255, 255, 0), (0, 0, 0), (255, 80, 80))
DETECT_PX: Final = (512, 640, 960)
THRESHOLDS: Final = (0.5, 0.7, 0.8, 0.9)

Pixels = NDArray[np.uint8]
Drawn = tuple[Pixels, list[str]]


def rows() -> list[Row]:
    """Measure each size at which text is looked for; the one in use is named."""
    drawn = [_written(_squeezed, seed) for seed in range(N_PICTURES)]
    empty = [_squeezed(_backdrop(np.random.default_rng(2000 + n))) for n in range(N_PICTURES)]
    found, in_use = [], ocr.DETECT_PX
    for detect_px in DETECT_PX:
        ocr.DETECT_PX = detect_px  # type: ignore[misc] # to be compared is the point
        found += _measure(detect_px, drawn, empty, is_used=detect_px == in_use)
    ocr.DETECT_PX = in_use  # type: ignore[misc] # as it was
    return found


def _measure(
    detect_px: int, drawn: Sequence[Drawn], empty: Sequence[Pixels], *, is_used: bool
) -> list[Row]:
    reader = Reader(0.0)
    reader(drawn[0][0])
    start = time.process_time()
    read = [reader(picture) for picture, _ in drawn]
    with_text_s = (time.process_time() - start) / len(drawn)
    start = time.process_time()
    ghosts = [line.score for picture in empty for line in reader(picture).lines]
    without_s = (time.process_time() - start) / len(empty)
    right: list[float] = []
    wrong: list[float] = []
    n_drawn = 0
    for screen, (_, texts) in zip(read, drawn, strict=True):
        wanted = [_plain(text) for text in texts]
        n_drawn += len(wanted)
        for line in screen.lines:
            (right if _plain(line.text) in wanted else wrong).append(line.score)
    kept = "; ".join(
        f"from {bar}: {_above(right, bar)} right, {_above(wrong, bar)} wrong, "
        f"{_above(ghosts, bar)} where there are none"
        for bar in THRESHOLDS
    )
    what = f"text on screen, looked for at {detect_px} px{' (in use)' if is_used else ''}"
    return [
        Row(f"{what}: lines kept of {n_drawn} drawn", kept, f"least right {min(right):.3f}", ""),
        Row(
            f"{what}: CPU a picture", f"{with_text_s:.2f} s", f"without text {without_s:.2f} s", ""
        ),
    ]


def _above(scores: Sequence[float], bar: float) -> int:
    return sum(score >= bar for score in scores)


def _plain(text: str) -> str:
    return "".join(letter for letter in text.casefold() if letter.isalnum())


def _written(finish: Callable[[Pixels], Pixels], seed: int) -> Drawn:
    rng = np.random.default_rng(seed)
    picture, texts, face = _backdrop(rng), [], cv2.FontFace("uni")
    for foot in (80, 330, 580, 790):
        size = int(rng.choice(SIZES_PX))
        if rng.random() < 0.25:
            text, size = str(rng.choice(OTHER_LETTERS)), max(size, SIZES_PX[2])
        else:
            text = " ".join(rng.choice(WORDS.split(), rng.integers(1, 4)))
        at = (int(rng.integers(10, 40)), foot)
        colour = tuple(int(part) for part in rng.choice(COLOURS))
        edge = (255, 255, 255) if sum(colour) == 0 else (0, 0, 0)
        for x, y in ((x, y) for x in (-2, 0, 2) for y in (-2, 0, 2)):
            cv2.putText(picture, text, (at[0] + x, at[1] + y), edge, face, size, 600)
        cv2.putText(picture, text, at, colour, face, size, 600)
        texts.append(text)
    return finish(picture), texts


def _backdrop(rng: np.random.Generator) -> Pixels:
    kind = rng.integers(4)
    if kind < 2:
        photograph: Any = load_sample_images().images[rng.integers(2)]
        times = HEIGHT / photograph.shape[0] * rng.uniform(1, 2.5)
        large = cv2.resize(photograph, None, fx=times, fy=times)
        top = rng.integers(large.shape[0] - HEIGHT + 1)
        left = rng.integers(large.shape[1] - WIDTH + 1)
        return np.ascontiguousarray(large[top : top + HEIGHT, left : left + WIDTH])
    if kind == 2:
        tiles = (9, 5) if rng.random() < 0.5 else (54, 30)
        colours = rng.integers(0, 256, (*tiles, 3), dtype=np.uint8)
        smooth = cv2.resize(colours, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        return np.asarray(smooth, np.uint8)
    picture = np.full((HEIGHT, WIDTH, 3), rng.integers(0, 256, 3), np.uint8)
    for _ in range(40):
        colour = [int(part) for part in rng.integers(0, 256, 3)]
        x, y, other_x, other_y = (int(n) for n in rng.integers(0, [WIDTH, HEIGHT] * 2))
        width = int(rng.choice([-1, 2, 6]))
        if rng.random() < 0.5:
            cv2.circle(picture, (x, y), int(rng.integers(5, 90)), colour, width)
        else:
            cv2.rectangle(picture, (x, y), (other_x, other_y), colour, width)
    return picture


def _squeezed(picture: Pixels) -> Pixels:
    _, written = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 60])
    return np.asarray(cv2.imdecode(written, cv2.IMREAD_COLOR), np.uint8)
