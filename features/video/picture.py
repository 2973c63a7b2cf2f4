"""A decoded frame as a person sees it, whatever the file says about how it is stored."""

from functools import cached_property
from typing import cast

import av
import numpy as np
from av.sidedata.sidedata import SideData
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray


class Picture:
    """One decoded frame, upright, with square pixels.

    height_px, width_px: its size as it is shown. To be so, what is stored is mirrored left to
    right if `mirrored`, and then turned by rotation_deg: 0, 90, 180 or 270, counter-clockwise.
    """

    def __init__(self, frame: av.VideoFrame, pixel_aspect: float = 1.0) -> None:
        """pixel_aspect: width of one stored pixel divided by its height, as in the Index."""
        self.frame = frame
        self.rotation_deg, self.mirrored = _orientation(frame)
        self._stretch = pixel_aspect

    @cached_property
    def height_px(self) -> int:
        """Rows as it is shown."""
        return self._stored[1] if self._is_sideways else self._stored[0]

    @cached_property
    def width_px(self) -> int:
        """Columns as it is shown."""
        return self._stored[0] if self._is_sideways else self._stored[1]

    def rgb(self, height_px: int, width_px: int) -> NDArray[np.uint8]:
        """Give it in that size, (3, H, W) RGB; where it shrinks, each pixel is a mean of an area.

        The whole picture fills the size: whoever wants its ratio kept asks for a size of it.
        """
        # Scaled before it is turned, so that the scaler does all the work on the YUV planes.
        rows, columns = (width_px, height_px) if self._is_sideways else (height_px, width_px)
        sized = VideoReformatter().reformat(
            self.frame, columns, rows, "rgb24", interpolation=Interpolation.AREA, threads=1
        )
        stored = cast("NDArray[np.uint8]", sized.to_ndarray().transpose(2, 0, 1))
        seen = stored[:, :, ::-1] if self.mirrored else stored
        return np.rot90(seen, k=self.rotation_deg // 90, axes=(1, 2))

    @property
    def _is_sideways(self) -> bool:
        return self.rotation_deg % 180 != 0

    @property
    def _stored(self) -> tuple[int, int]:
        """Rows and columns that the stored frame has once its pixels are square."""
        return self.frame.height, self.frame.width


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
