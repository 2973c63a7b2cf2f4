"""What a small picture should be: YUV to RGB and the mean of each area, in floating point.

Written from ITU-T H.273 and without a scaler, to measure scalers by.
"""

import math
from typing import Any, Final

import av
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

#: (Kr, Kb) by the number of the matrix; 2, unspecified, is taken for BT.601 as decoders do.
MATRICES: Final = {1: (0.2126, 0.0722), 9: (0.2627, 0.0593)}
BT601: Final = (0.299, 0.114)
FULL_RANGE: Final = 2


def exact_picture(frame: av.VideoFrame, height_px: int, width_px: int) -> Floats:
    """Give a planar YUV frame in that size: (3, H, W) RGB, 0 to 255, not rounded."""
    return area_mean(exact_rgb(frame), height_px, width_px)


def exact_rgb(frame: av.VideoFrame) -> Floats:
    """Convert a planar YUV frame: colour between its samples is interpolated, sited at the left."""
    luma, blue, red = _planes(frame)
    height, width = luma.shape
    blue, red = (_upsample(plane, height, width) for plane in (blue, red))
    most = 2 ** frame.format.components[0].bits - 1
    step = (most + 1) / 256
    if frame.color_range == FULL_RANGE or frame.format.name.startswith("yuvj"):
        luma, blue, red = luma / most, (blue - 128 * step) / most, (red - 128 * step) / most
    else:
        luma = (luma - 16 * step) / (219 * step)
        blue, red = (blue - 128 * step) / (224 * step), (red - 128 * step) / (224 * step)
    kr, kb = MATRICES.get(int(frame.colorspace), BT601)
    r, b = luma + 2 * (1 - kr) * red, luma + 2 * (1 - kb) * blue
    g = (luma - kr * r - kb * b) / (1 - kr - kb)
    return np.clip(np.stack([r, g, b]) * 255, 0, 255)


def area_mean(image: Floats, height_px: int, width_px: int) -> Floats:
    """Shrink (3, h, w): each pixel is the mean of all that it covers, borders by their share."""
    rows, columns = _shares(image.shape[1], height_px), _shares(image.shape[2], width_px)
    return np.asarray(np.einsum("ij,cjk,lk->cil", rows, image, columns, optimize=True))


def psnr_db(image: NDArray[Any], exact: NDArray[Any]) -> float:
    """Peak signal to noise ratio of 8-bit levels."""
    return 10 * math.log10(255**2 / max(float(((image - exact) ** 2).mean()), 1e-9))


def _planes(frame: av.VideoFrame) -> list[Floats]:
    deep = frame.format.components[0].bits > 8
    found: list[Floats] = []
    for plane in list(frame.planes)[:3]:
        levels = np.frombuffer(plane, np.uint16 if deep else np.uint8)
        lines = levels.reshape(-1, plane.line_size // levels.itemsize)
        found.append(lines[: plane.height, : plane.width].astype(np.float64))
    return found


def _upsample(plane: Floats, height: int, width: int) -> Floats:
    low, high, part = _taps(plane.shape[0], height, sited=False)
    plane = plane[low] * (1 - part)[:, None] + plane[high] * part[:, None]
    low, high, part = _taps(plane.shape[1], width, sited=True)
    return plane[:, low] * (1 - part) + plane[:, high] * part


def _taps(size: int, target: int, *, sited: bool) -> tuple[NDArray[Any], NDArray[Any], Floats]:
    if size == target:
        return np.arange(size), np.arange(size), np.zeros(size)
    places = np.arange(target) / 2 if sited else (np.arange(target) + 0.5) / 2 - 0.5
    low = np.floor(places).astype(int)
    return np.clip(low, 0, size - 1), np.clip(low + 1, 0, size - 1), places - low


def _shares(size: int, target: int) -> Floats:
    edges = np.arange(target + 1) * (size / target)
    pixels = np.arange(size)
    covered = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return np.maximum(covered, 0) * (target / size)
