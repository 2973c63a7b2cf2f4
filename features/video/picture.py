"""A decoded frame as a person sees it, whatever the file says about how it is stored."""

from dataclasses import dataclass
from math import sqrt
from typing import Any, Final, cast

import av
import numpy as np
from av.sidedata.sidedata import SideData
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from features.video.tone import Hdr, hdr_of, tone_map

#: The mean of whole areas, colours at every pixel: the scaler's shortcuts cost half of the columns
#: of colour and two levels of brightness.
_SCALER: Final = (
    Interpolation.AREA
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
)
#: Light is coded far from evenly in HDR pictures; a mean of too many codes is too dark.
_HDR_PIXELS: Final = 512 * 288
_MOST_STRETCHED: Final = 8.0


@dataclass(frozen=True)
class Shown:
    """How a frame is shown. height_px, width_px: upright, with square pixels.

    To be so, what is stored is mirrored left to right if `mirrored`, and then turned by
    rotation_deg: 0, 90, 180 or 270, counter-clockwise. hdr: None for an ordinary picture.
    """

    height_px: int
    width_px: int
    rotation_deg: int
    mirrored: bool
    hdr: Hdr | None


class Picture:
    """One decoded frame, upright, its pixels square, its light that of an ordinary display."""

    def __init__(self, frame: av.VideoFrame, pixel_aspect: float = 1.0) -> None:
        """pixel_aspect: width of one stored pixel divided by its height, as in the Index."""
        self.frame = frame
        rotation_deg, mirrored = _orientation(frame)
        # What is stretched gets more pixels; none is lost.
        sides = (
            round(frame.height * max(1 / pixel_aspect, 1)),
            round(frame.width * max(pixel_aspect, 1)),
        )
        self._is_sideways = rotation_deg % 180 != 0
        height_px, width_px = sides[::-1] if self._is_sideways else sides
        self.shown = Shown(height_px, width_px, rotation_deg, mirrored, hdr_of(frame))
        self.height_px, self.width_px = height_px, width_px

    def rgb(self, height_px: int, width_px: int, *, exact: bool = True) -> NDArray[np.uint8]:
        """Give it in that size, (3, H, W) RGB; where it shrinks, each pixel is a mean of an area.

        The whole picture fills the size: whoever wants its ratio kept asks for a size of it.
        exact: False takes the shortcuts that other readers of videos take by default.
        """
        # Scaled before it is turned, so that the scaler does all the work on the YUV planes.
        rows, columns = (width_px, height_px) if self._is_sideways else (height_px, width_px)
        frame = self.frame
        if self.shown.hdr in ("pq", "hlg"):
            frame = _ordinary(frame, self.shown.hdr, rows, columns)
        scaler = _SCALER if exact else Interpolation.AREA
        sized: NDArray[np.uint8] = _sized(frame, rows, columns, "rgb24", scaler)
        stored = sized.transpose(2, 0, 1)
        seen = stored[:, :, ::-1] if self.shown.mirrored else stored
        return np.rot90(seen, k=self.shown.rotation_deg // 90, axes=(1, 2))


def shown_aspect(sample_aspect_ratio: object) -> float:
    """Read a stream's sample aspect ratio: 1 where there is none, or one that cannot be meant."""
    ratio = float(cast("float", sample_aspect_ratio or 1))
    return ratio if 1 / _MOST_STRETCHED <= ratio <= _MOST_STRETCHED else 1.0


def _ordinary(frame: av.VideoFrame, hdr: Hdr, rows: int, columns: int) -> av.VideoFrame:
    """Tone-map a frame, at a size that is not below the wanted one nor needlessly large."""
    shrink = min(sqrt(_HDR_PIXELS / (frame.height * frame.width)), 1.0)
    at_least = min(frame.height, rows), min(frame.width, columns)
    size = max(int(frame.height * shrink), at_least[0]), max(int(frame.width * shrink), at_least[1])
    # In planes: the scaler's own 16-bit RGB has wrong colours where nothing is scaled.
    coded = cast("NDArray[np.uint16]", _sized(frame, *size, "gbrp16le"))
    mapped = tone_map(coded, hdr)
    return av.VideoFrame.from_ndarray(mapped, format="rgb24")


def _sized(
    frame: av.VideoFrame, rows: int, columns: int, colours: str, scaler: Interpolation = _SCALER
) -> NDArray[Any]:
    sized = VideoReformatter().reformat(
        frame, columns, rows, colours, interpolation=scaler, threads=1
    )
    return sized.to_ndarray()


def _orientation(frame: av.VideoFrame) -> tuple[int, bool]:
    """Read a frame's display matrix: the nearest of the eight ways a picture can lie."""
    matrix = cast("SideData | None", frame.side_data.get("DISPLAYMATRIX"))
    if matrix is None:
        return 0, False
    # Shown at x: a x + c y, at y: b x + d y; y points down.
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
    if abs(a) + abs(d) < abs(b) + abs(c):
        return 90 if c > 0 else 270, b * c > 0
    return 180 if d < 0 else 0, a * d < 0
