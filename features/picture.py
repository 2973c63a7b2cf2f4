"""Fit one decoded frame into a small upright picture on black, in one step or the paper's two."""

from typing import Literal, cast

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

Resize = Literal["area", "paper"]

#: The paper's intermediate size (section on preprocessing): frames meet at 1024x576 first.
PAPER_HEIGHT_PX, PAPER_WIDTH_PX = 1024, 576


def fit_picture(
    frame: av.VideoFrame, height_px: int, width_px: int, rotation_deg: int, resize: Resize
) -> NDArray[np.uint8]:
    """Turn a frame upright and fit it, ratio kept, into the middle of a black picture.

    rotation_deg: 0, 90, 180 or 270, counter-clockwise.   returns: (3, H, W) uint8 RGB
    """
    sideways = rotation_deg % 180 != 0
    upright = (frame.width, frame.height) if sideways else (frame.height, frame.width)
    box = (height_px, width_px) if resize == "area" else (PAPER_HEIGHT_PX, PAPER_WIDTH_PX)
    fitted = fit_size(*upright, *box)
    if resize == "area":
        # Scaled before it is turned, so that the scaler does all the work on the YUV planes.
        rows, columns = fitted[::-1] if sideways else fitted
        return letterbox(_turn(_rgb(frame, rows, columns), rotation_deg), *box)
    full = _turn(_rgb(frame, frame.height, frame.width), rotation_deg)
    boxed = letterbox(round_to_uint8(bilinear(full, *fitted)), *box)
    return round_to_uint8(bilinear(boxed, height_px, width_px))


def fit_size(height: int, width: int, box_height: int, box_width: int) -> tuple[int, int]:
    """Give the largest size of that ratio inside the box; halves round up, nothing vanishes."""
    scale = min(box_height / height, box_width / width)
    rows, columns = int(height * scale + 0.5), int(width * scale + 0.5)
    return min(max(rows, 1), box_height), min(max(columns, 1), box_width)


def letterbox(image: NDArray[np.uint8], height_px: int, width_px: int) -> NDArray[np.uint8]:
    """Put a (3, h, w) picture in the middle of a black (3, H, W) one."""
    _, rows, columns = image.shape
    if (rows, columns) == (height_px, width_px):
        return image
    boxed = np.zeros((3, height_px, width_px), np.uint8)
    top, left = (height_px - rows) // 2, (width_px - columns) // 2
    boxed[:, top : top + rows, left : left + columns] = image
    return boxed


def bilinear(image: NDArray[np.uint8], height_px: int, width_px: int) -> NDArray[np.float32]:
    """Resize (3, h, w) by plain bilinear interpolation at pixel centres, without antialiasing.

    Written in NumPy so that decoding workers need not load torch.
    """
    rows_low, rows_high, rows_part = _taps(image.shape[1], height_px)
    columns_low, columns_high, columns_part = _taps(image.shape[2], width_px)
    part = rows_part[:, None]
    tall = image[:, rows_low] * (1 - part) + image[:, rows_high] * part
    sized = tall[..., columns_low] * (1 - columns_part) + tall[..., columns_high] * columns_part
    return cast("NDArray[np.float32]", sized)


def round_to_uint8(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Round to the nearest level."""
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _taps(
    size: int, target: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Give the two source pixels beside each target pixel's centre and the second one's weight."""
    centre = np.maximum((np.arange(target) + 0.5) * (size / target) - 0.5, 0)
    low = centre.astype(np.intp)
    return low, np.minimum(low + 1, size - 1), (centre - low).astype(np.float32)


def _rgb(frame: av.VideoFrame, height_px: int, width_px: int) -> NDArray[np.uint8]:
    """Convert to (3, h, w) RGB, averaging whole areas where it shrinks."""
    sized = VideoReformatter().reformat(
        frame, width_px, height_px, "rgb24", interpolation=Interpolation.AREA, threads=1
    )
    return cast("NDArray[np.uint8]", sized.to_ndarray().transpose(2, 0, 1))


def _turn(image: NDArray[np.uint8], rotation_deg: int) -> NDArray[np.uint8]:
    return np.rot90(image, k=rotation_deg // 90, axes=(1, 2))
