"""A decoded frame as a person sees it, whatever the file says about how it is stored.

Pictures of high dynamic range are brought to the range of ordinary ones. Light is decoded by ITU-R
BT.2100, 100 cd/m2 are ordinary white. Up to 70 of them light stays as it is, what is brighter is
pressed under white by a Moebius curve that ends at 1000 cd/m2 (the nominal peak of HLG, and what
phones film at); colours go from BT.2020 to BT.709 and, where they have no place there, to its
border.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any, Final, Literal, cast

import av
import numpy as np
from av.sidedata.sidedata import SideData, SideDataContainer
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

#: How light is coded. "dolby_vision": in a way that only its own decoder can read (profile 5);
#: such colours are shown as they are, which is wrong.
Hdr = Literal["pq", "hlg", "dolby_vision"]

_TRANSFERS: Final[dict[int, Hdr]] = {16: "pq", 18: "hlg"}  # ITU-T H.273
_UNSPECIFIED: Final = 2
_SIDE_DATA: Final = ("DOVI_METADATA", "DOVI_RPU_BUFFER")
_WHITE_CDM2, _PEAK_CDM2 = 100.0, 1000.0
_KNEE: Final = 0.7  # of white
_TO_BT709: Final = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]],
    np.float32,
)

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
        # Not `frame.side_data`, which holds the frame and is held by it: large pictures would pile
        # up until Python looks for such rings.
        beside = SideDataContainer(frame)  # type: ignore[call-arg] # its stub has no __init__
        rotation_deg, mirrored = _orientation(beside)
        # What is stretched gets more pixels; none is lost.
        sides = (
            round(frame.height * max(1 / pixel_aspect, 1)),
            round(frame.width * max(pixel_aspect, 1)),
        )
        self._is_sideways = rotation_deg % 180 != 0
        height_px, width_px = sides[::-1] if self._is_sideways else sides
        hdr = hdr_of(frame.color_trc, beside)
        self.shown = Shown(height_px, width_px, rotation_deg, mirrored, hdr)
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


def _orientation(beside: SideDataContainer) -> tuple[int, bool]:
    """Read a frame's display matrix: the nearest of the eight ways a picture can lie."""
    matrix = cast("SideData | None", beside.get("DISPLAYMATRIX"))
    if matrix is None:
        return 0, False
    # Shown at x: a x + c y, at y: b x + d y; y points down.
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
    if abs(a) + abs(d) < abs(b) + abs(c):
        return 90 if c > 0 else 270, b * c > 0
    return 180 if d < 0 else 0, a * d < 0


def hdr_of(transfer: int, beside: Mapping[Any, Any]) -> Hdr | None:
    """Tell by a frame's color_trc and its side data how its light is coded; None: as usual."""
    if transfer in _TRANSFERS:
        return _TRANSFERS[transfer]
    if transfer == _UNSPECIFIED and any(name in beside for name in _SIDE_DATA):
        return "dolby_vision"
    return None


def tone_map(coded: NDArray[np.uint16], hdr: Hdr) -> NDArray[np.uint8]:
    """Give (H, W, 3) PQ or HLG pixels of BT.2020 as BT.709 ones for a display of gamma 2.4."""
    light = _LIGHT[hdr][coded]
    light = np.maximum(light @ _TO_BT709.T, 0)
    # The brightest of the three decides for all, so that no colour turns into another.
    red, green, blue = np.moveaxis(light, -1, 0)
    brightest = np.maximum(np.maximum(np.maximum(red, green), blue), 1e-6)[..., None]
    light *= _press(brightest) / brightest
    levels: NDArray[np.float32] = np.minimum(light, 1) ** np.float32(1 / 2.4) * 255
    return np.rint(levels).astype(np.uint8)


def _press(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """Keep light up to the knee; bend what is above so that the peak becomes 1."""
    knee, peak = _KNEE, _PEAK_CDM2 / _WHITE_CDM2
    a = -(knee**2) * (peak - 1) / (knee**2 - 2 * knee + peak)
    b = (knee**2 - 2 * knee * peak + peak) / (peak - 1)
    bent = (b * b + 2 * b * knee + knee**2) / (b - a) * (light + a) / (light + b)
    pressed: NDArray[np.float32] = np.where(light <= knee, light, bent).astype(np.float32)
    return pressed


def _pq(coded: NDArray[np.float64]) -> NDArray[np.float64]:
    """Light of a PQ signal in units of white (BT.2100, table 4)."""
    root = coded ** (32 / 2523)
    above = np.maximum(root - 3424 / 4096, 0)
    return (above / (2413 / 128 - 2392 / 128 * root)) ** (8192 / 1305) * 1e4 / _WHITE_CDM2


def _hlg(coded: NDArray[np.float64]) -> NDArray[np.float64]:
    """Light of an HLG signal in units of white (BT.2100, table 5)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(coded <= 0.5, coded**2 / 3, (np.exp((coded - c) / a) + b) / 12)
    # The display's gamma goes to each colour by itself, as in ffmpeg's zscale: by the standard it
    # goes to the luminance, which leaves strong colours a little paler.
    return scene**1.2 * _PEAK_CDM2 / _WHITE_CDM2


_CODES: Final = np.arange(65_536) / 65_535
_LIGHT: Final[dict[str, NDArray[np.float32]]] = {
    "pq": _pq(_CODES).astype(np.float32),
    "hlg": _hlg(_CODES).astype(np.float32),
}
