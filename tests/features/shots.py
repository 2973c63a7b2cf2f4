"""Made film for the tests: shots of textures that move as told, joined by known transitions."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

HEIGHT, WIDTH = 64, 36

Film = NDArray[np.uint8]


@cache
def texture(seed: int, height: int = 640, width: int = 640) -> NDArray[np.float32]:
    """A scene in its own colours, coarse and fine at once: (3, h, w), 0 to 255."""
    random = np.random.default_rng(seed)
    scene = np.zeros((3, height, width), np.float32)
    for cell in (160, 40, 10):
        coarse = random.uniform(-1, 1, (3, height // cell + 2, width // cell + 2))
        rows, columns = np.arange(height) / cell, np.arange(width) / cell
        scene += _between(coarse, rows, columns).astype(np.float32)
    tint = random.uniform(40, 215, (3, 1, 1))
    return np.clip(tint + 45 * scene, 0, 255).astype(np.float32)


def _between(grid: NDArray[np.float64], y: NDArray[np.float64], x: NDArray[np.float64]) -> Film:
    low_y, low_x = y.astype(int), x.astype(int)
    part_y, part_x = (y - low_y)[:, None], x - low_x
    tall = grid[:, low_y] * (1 - part_y) + grid[:, low_y + 1] * part_y
    return tall[..., low_x] * (1 - part_x) + tall[..., low_x + 1] * part_x  # type: ignore[no-any-return]


#: How a shot moves: (frame, seed) -> offset of the window in pixels of the texture.
MOVES: Final[dict[str, Callable[[int, np.random.Generator], tuple[float, float]]]] = {
    "still": lambda _i, _random: (0, 0),
    "pan": lambda i, _random: (0, 0.7 * i),
    "fast pan": lambda i, _random: (0, 7.0 * i),
    "tilt": lambda i, _random: (2.0 * i, 0),
    "shake": lambda _i, random: tuple(random.uniform(-2, 2, 2)),
}


def shot(
    seed: int, n_frames: int, move: str = "still", *, grain: float = 2.0, thing: bool = False
) -> Film:
    """A shot (3, D, H, W): a window on a texture, with grain, and a thing that crosses it."""
    random = np.random.default_rng(seed + 1000)
    scene = texture(seed)
    frames = np.empty((3, n_frames, HEIGHT, WIDTH), np.float32)
    for i in range(n_frames):
        down, across = (int(value) for value in MOVES[move](i, random))
        rows = (100 + down + np.arange(HEIGHT)) % scene.shape[1]
        columns = (100 + across + np.arange(WIDTH)) % scene.shape[2]
        frames[:, i] = scene[:, rows][:, :, columns]
        if thing:
            left = abs((2 * i) % (2 * (WIDTH - 10)) - (WIDTH - 10))  # to and fro
            frames[:, i, 20:44, left : left + 10] = np.array([200, 180, 160])[:, None, None]
    frames += random.normal(0, grain, frames.shape)
    return np.clip(np.rint(frames), 0, 255).astype(np.uint8)


def joined(shots: Sequence[Film]) -> Film:
    """Shots one behind the other, by hard cuts."""
    return np.concatenate(shots, axis=1)


def cross_fade(old: Film, new: Film, n_frames: int) -> Film:
    """The end of one shot over the beginning of the next."""
    part = ((np.arange(n_frames) + 1) / (n_frames + 1))[None, :, None, None]
    mixed = old[:, -n_frames:] * (1 - part) + new[:, :n_frames] * part
    return np.concatenate([old[:, :-n_frames], np.rint(mixed), new[:, n_frames:]], axis=1).astype(
        np.uint8
    )


def through_black(old: Film, new: Film, n_frames: int) -> Film:
    """One shot fades out, the next one fades in."""
    part = ((np.arange(n_frames) + 1) / (n_frames + 1))[None, :, None, None]
    out = np.concatenate([old[:, :-n_frames], np.rint(old[:, -n_frames:] * (1 - part))], axis=1)
    into = np.concatenate([np.rint(new[:, :n_frames] * part), new[:, n_frames:]], axis=1)
    return np.concatenate([out, into], axis=1).astype(np.uint8)


def flash(film: Film, at: int, n_frames: int) -> Film:
    """Lighten some frames to nearly white, as a photographer's flash does."""
    lit = film.copy()
    lit[:, at : at + n_frames] = 255 - (255 - lit[:, at : at + n_frames]) // 8
    return lit
