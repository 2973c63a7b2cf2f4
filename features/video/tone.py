"""Pictures of high dynamic range, brought to the range of ordinary ones.

Light is decoded by ITU-R BT.2100, 100 cd/m2 are ordinary white. Up to 70 of them light stays
as it is, what is brighter is pressed under white by a Moebius curve that ends at 1000 cd/m2 (the
nominal peak of HLG, and what phones film at); colours go from BT.2020 to BT.709 and, where they
have no place there, to its border.
"""

from typing import Final, Literal

import av
import numpy as np
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


def hdr_of(frame: av.VideoFrame) -> Hdr | None:
    """Tell how a frame's light is coded; None: as in ordinary pictures."""
    if frame.color_trc in _TRANSFERS:
        return _TRANSFERS[frame.color_trc]
    if frame.color_trc == _UNSPECIFIED and any(name in frame.side_data for name in _SIDE_DATA):
        return "dolby_vision"
    return None


def tone_map(coded: NDArray[np.uint16], hdr: Hdr) -> NDArray[np.uint8]:
    """Give (H, W, 3) PQ or HLG pixels of BT.2020 as BT.709 ones for a display of gamma 2.4."""
    light = _LIGHT[hdr][coded]
    light = np.maximum(light @ _TO_BT709.T, 0)
    # The brightest of the three decides for all, so that no colour turns into another.
    brightest = np.maximum(light.max(axis=-1, keepdims=True), 1e-6)
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
