"""Plain numbers about the pictures of a video: cuts, motion, light, colour, sharpness, bars.

All work on arrays of frames that were sampled evenly in time and sized alike, whatever their shape
was; nothing here decodes. Levels are those of 8 bit, 0 to 255. A number that cannot be told (there
is one frame, or no colour) is None.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

#: What is told of a stretch of pictures, with its unit at the end of the name.
LOOK_NUMBERS: Final = (
    "brightness_levels",
    "contrast_levels",
    "dark_share",
    "bright_share",
    "saturation_share",
    "colourfulness_levels",
    "hue_deg",
    "hue_share",
)
MOTION_NUMBERS: Final = (
    "motion_levels",
    "local_motion_levels",
    "pan_widths_s",
    "tilt_heights_s",
    "still_share",
)

#: Luma of video that is kept as RGB (ITU-R BT.601, as in JPEG).
LUMA: Final = np.array([0.299, 0.587, 0.114], np.float32)
DARK_BELOW, BRIGHT_ABOVE = 24, 231  # levels: nearly black, nearly white
#: Two pictures that differ by less, on average, are the same: a codec's noise is below it.
STILL_BELOW: Final = 0.5
#: Frames at once: bounds the memory of long videos.
CHUNK: Final = 512

# A cut changes the picture by at least so many levels, and three times as much as the two changes
# on either side: a fast pan or a shaking camera changes every picture. It changes it for good: a
# flash is over after at most three frames, and then the old picture is back or not far.
CUT_LEVELS: Final = 10.0
CUT_RATIO: Final = 3.0
NEIGHBOURS: Final = 2
AROUND: Final = 4  # frames on either side that must all differ
LASTING_SHARE: Final = 0.5  # by at least so much of the change at the cut itself

#: Grey in every direction: hues of less colour than this are noise.
GREY_BELOW: Final = 0.02
HUE_PARTS: Final = 12
BAR_MEAN, BAR_MAX = 20, 40  # levels: what a row of a black bar stays below


def cuts(frames: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Find hard cuts: the numbers of the frames that begin a new shot, rising.

    frames: (3, D, H, W) RGB, evenly sampled, no frame twice. Fades and cross-fades are none: they
    change every picture a little.
    """
    n_frames = frames.shape[1]
    if n_frames < 2:
        return np.zeros(0, np.intp)
    small = _halved(frames)
    change = _differences(small, 1)
    found = [
        place
        for place in np.flatnonzero(change >= CUT_LEVELS).tolist()
        if change[place] >= CUT_RATIO * _around(change, place)
        and _lasting(small, place) >= max(CUT_LEVELS, LASTING_SHARE * float(change[place]))
    ]
    return np.array(found, np.intp) + 1


def _around(change: NDArray[np.float32], place: int) -> float:
    """Mean of the changes beside one; 0 where there is none."""
    beside = np.r_[
        change[max(place - NEIGHBOURS, 0) : place], change[place + 1 : place + 1 + NEIGHBOURS]
    ]
    return float(beside.mean()) if len(beside) else 0.0


def _lasting(small: NDArray[np.uint8], place: int) -> float:
    """By how much the likest two of the frames shortly before and shortly after differ."""
    before = small[max(place + 1 - AROUND, 0) : place + 1].astype(np.int16)
    after = small[place + 1 : place + 1 + AROUND].astype(np.int16)
    return float(np.abs(before[:, None] - after[None]).mean(axis=(2, 3, 4)).min())


def _halved(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Halve both sides, so that small movements are no change: to (D, H/2, W/2, 3)."""
    rows, columns = frames.shape[2] // 2 * 2, frames.shape[3] // 2 * 2
    parts = []
    for chunk in _chunks(frames[:, :, :rows, :columns]):
        quads = chunk.reshape(*chunk.shape[:2], rows // 2, 2, columns // 2, 2)
        parts.append(np.rint(quads.mean(axis=(3, 5), dtype=np.float32)).astype(np.uint8))
    return np.concatenate(parts, axis=1).transpose(1, 2, 3, 0)


def _chunks(frames: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    for start in range(0, frames.shape[1], CHUNK):
        yield frames[:, start : start + CHUNK]


def _differences(pictures: NDArray[np.uint8], step: int) -> NDArray[np.float32]:
    """Mean absolute difference of each picture to the one `step` later, in levels."""
    parts = []
    for start in range(0, len(pictures) - step, CHUNK):
        stop = min(start + CHUNK, len(pictures) - step)
        pair = pictures[start:stop].astype(np.int16) - pictures[start + step : stop + step]
        parts.append(np.abs(pair).reshape(stop - start, -1).mean(axis=1, dtype=np.float32))
    return np.concatenate(parts)


def look(frames: NDArray[np.uint8]) -> dict[str, float | None]:
    """Tell light and colour, the mean over the frames: LOOK_NUMBERS. frames: (3, D, H, W), D > 0.

    colourfulness_levels is Hasler and Süsstrunk's M3 (2003, "Measuring colourfulness in natural
    images"). hue_deg is the middle of the twelfth of the colour circle that has the most colour,
    hue_share how much of all colour that is.
    """
    sums = dict.fromkeys(LOOK_NUMBERS[:6], 0.0)
    hues = np.zeros(HUE_PARTS)
    for chunk in _chunks(frames):
        red, green, blue = chunk.astype(np.float32)
        luma = _luma(chunk)
        highest, lowest = chunk.max(axis=0), chunk.min(axis=0)
        spread = (highest - lowest).astype(np.float32)
        sums["brightness_levels"] += float(luma.mean(axis=(1, 2)).sum())
        sums["contrast_levels"] += float(luma.std(axis=(1, 2)).sum())
        sums["dark_share"] += float((luma < DARK_BELOW).mean(axis=(1, 2)).sum())
        sums["bright_share"] += float((luma > BRIGHT_ABOVE).mean(axis=(1, 2)).sum())
        saturation = spread / np.maximum(highest, 1)
        sums["saturation_share"] += float(saturation.mean(axis=(1, 2)).sum())
        yellow, green_red = (red + green) / 2 - blue, red - green
        deviation = np.hypot(yellow.std(axis=(1, 2)), green_red.std(axis=(1, 2)))
        offset = np.hypot(yellow.mean(axis=(1, 2)), green_red.mean(axis=(1, 2)))
        sums["colourfulness_levels"] += float((deviation + 0.3 * offset).sum())
        parts = (_hue(red, green, blue, highest, spread) * HUE_PARTS / 360).astype(np.intp)
        hues += np.bincount(parts.ravel() % HUE_PARTS, weights=spread.ravel(), minlength=HUE_PARTS)
    found: dict[str, float | None] = {name: total / frames.shape[1] for name, total in sums.items()}
    has_colour = hues.sum() / frames[0].size >= GREY_BELOW * 255
    most = int(hues.argmax())
    found["hue_deg"] = (most + 0.5) * 360 / HUE_PARTS if has_colour else None
    found["hue_share"] = float(hues[most] / hues.sum()) if has_colour else None
    return found


def _luma(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(3, D, H, W) to (D, H, W)."""
    return np.tensordot(LUMA, frames.astype(np.float32), axes=1)


def _hue(
    red: NDArray[np.float32],
    green: NDArray[np.float32],
    blue: NDArray[np.float32],
    highest: NDArray[np.uint8],
    spread: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Hue in degrees, [0, 360); 0 for grey."""
    unit = np.where(spread > 0, spread, 1)
    of_red, of_green = red == highest, green == highest
    sixths = np.select(
        [spread == 0, of_red, of_green],
        [0, (green - blue) / unit % 6, (blue - red) / unit + 2],
        (red - green) / unit + 4,
    )
    return (sixths * 60 % 360).astype(np.float32)


def motion(
    frames: NDArray[np.uint8], rate_hz: float, cut_at: NDArray[np.intp]
) -> Mapping[str, float | None]:
    """Tell how much moves from one frame to the next: MOTION_NUMBERS, all None for one frame.

    frames: (3, D, H, W), rate_hz of them a second. A pair with a cut between is left out, where
    there are others. local_motion_levels is what is left when the picture is shifted as a whole as
    it fits best (phase correlation), pan and tilt are the mean speed of that shift.
    """
    pairs = np.setdiff1d(np.arange(1, frames.shape[1]), cut_at)
    if not len(pairs):
        return dict.fromkeys(MOTION_NUMBERS)
    moved, local, across, down = np.zeros((4, len(pairs)))
    rows, columns = frames.shape[2:]
    window = np.outer(np.hanning(rows + 2)[1:-1], np.hanning(columns + 2)[1:-1]).astype(np.float32)
    for start in range(0, len(pairs), CHUNK):
        some = pairs[start : start + CHUNK]
        before, after = _luma(frames[:, some - 1]), _luma(frames[:, some])
        shifts = _shifts(before, after, window).tolist()
        for number, (old, new, (dy, dx)) in enumerate(
            zip(before, after, shifts, strict=True), start
        ):
            change = np.abs(new - old)
            moved[number] = local[number] = change.mean()
            if not (dy or dx) or moved[number] < STILL_BELOW:
                continue
            left = np.abs(
                new[max(dy, 0) : rows + min(dy, 0), max(dx, 0) : columns + min(dx, 0)]
                - old[max(-dy, 0) : rows + min(-dy, 0), max(-dx, 0) : columns + min(-dx, 0)]
            )
            # By the middle pixel: what moves in front of a scene that stands is not the camera.
            if np.median(left) < np.median(change):
                local[number], across[number], down[number] = left.mean(), abs(dx), abs(dy)
    return {
        "motion_levels": float(moved.mean()),
        "local_motion_levels": float(local.mean()),
        "pan_widths_s": float(across.mean()) * rate_hz / columns,
        "tilt_heights_s": float(down.mean()) * rate_hz / rows,
        "still_share": float((moved < STILL_BELOW).mean()),
    }


def _shifts(
    old: NDArray[np.float32], new: NDArray[np.float32], window: NDArray[np.float32]
) -> NDArray[np.intp]:
    """By how many rows and columns each picture has moved, at most a quarter: (n, 2)."""
    size = old.shape[1:]
    spectra = [
        np.fft.rfft2((picture - picture.mean(axis=(1, 2), keepdims=True)) * window)
        for picture in (old, new)
    ]
    cross = np.conj(spectra[0]) * spectra[1]
    peaks = np.fft.irfft2(cross / np.maximum(np.abs(cross), 1e-6), s=size)
    shifts = np.stack(np.unravel_index(peaks.reshape(len(old), -1).argmax(axis=1), size), axis=1)
    whole = np.array(size)
    shifts = np.where(shifts > whole // 2, shifts - whole, shifts)
    return np.where(np.abs(shifts).max(axis=1, keepdims=True) > whole // 4, 0, shifts)


def sharpness_levels(frames: NDArray[np.uint8]) -> float:
    """Mean over the frames of the Laplacian's standard deviation. frames: (3, D, H, W), D > 0."""
    luma = _luma(frames)
    edges = (
        luma[:, :-2, 1:-1] + luma[:, 2:, 1:-1] + luma[:, 1:-1, :-2] + luma[:, 1:-1, 2:]
    ) - 4 * luma[:, 1:-1, 1:-1]
    return float(edges.std(axis=(1, 2)).mean())


def bars_share(frames: NDArray[np.uint8]) -> float | None:
    """Share of the picture that black bars at opposite edges cover in all frames.

    frames: (3, D, H, W), D > 0. None where everything is black.
    """
    luma = _luma(frames)
    shares = []
    for axis in (2, 1):
        mean, most = luma.mean(axis=axis), np.percentile(luma, 98, axis=axis)
        is_bar = ((mean <= BAR_MEAN) & (most <= BAR_MAX)).all(axis=0)
        if is_bar.all():
            return None
        seen = np.flatnonzero(~is_bar)
        # A night sky is dark at one edge only: a bar has its twin.
        bar = min(int(seen[0]), len(is_bar) - 1 - int(seen[-1]))
        shares.append(2 * bar / len(is_bar))
    return 1 - (1 - shares[0]) * (1 - shares[1])
