"""Pictures with known words on them, and films of pictures, for the tests of what is on screen."""

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
WHITE, BLACK, YELLOW = (255, 255, 255), (0, 0, 0), (255, 230, 0)


def plain(height: int = 640, width: int = 360) -> Picture:
    """A picture without text: one colour runs into another."""
    rows, columns = np.mgrid[0:height, 0:width]
    parts = rows / height, columns / width, (rows + columns) / (height + width)
    return (np.stack(parts, axis=-1) * 200).astype(np.uint8)


def noise(height: int = 640, width: int = 360) -> Picture:
    return np.random.default_rng(5).integers(0, 256, (height, width, 3), dtype=np.uint8)


def written(
    picture: Picture,
    text: str,
    at: tuple[int, int],
    size: int,
    colour: tuple[int, int, int] = WHITE,
    edge: tuple[int, int, int] = BLACK,
) -> Picture:
    """The picture with a line of text, outlined as captions are; at: its left end, its foot."""
    import cv2  # noqa: PLC0415 (of the `ocr` extra; its own font has Chinese letters, too)

    face, drawn = cv2.FontFace("uni"), picture.copy()
    places = [(x, y) for x in (-2, 0, 2) for y in (-2, 0, 2)]
    for x, y in places:
        cv2.putText(drawn, text, (at[0] + x, at[1] + y), edge, face, size, 600)
    cv2.putText(drawn, text, at, colour, face, size, 600)
    return drawn


def film(path: Path, pictures: Sequence[tuple[Picture, float]], rate_hz: int = 10) -> Path:
    """An H.264 file that shows each picture for so many seconds."""
    height, width = pictures[0][0].shape[:2]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate_hz, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for picture, seconds in pictures:
            for _ in range(round(seconds * rate_hz)):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
