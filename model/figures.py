"""The pictures of an autoencoder's training: clips beside their reconstructions, as a PNG."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from catalog.files import atomic_file
from features.video.convlstm import ConvLstmAutoencoder
from features.video.visual import pad

Frames = NDArray[np.uint8]

GAP_PX, LABEL_PX = 4, 190


@dataclass(frozen=True)
class Strip:
    """One row of a picture: a label and frames (3, D, H, W), which need not be of one size."""

    label: str
    frames: Frames


def reconstruct(network: ConvLstmAutoencoder, clip: Frames) -> Frames:
    """Send a clip (3, D, H, W) through the network and back; in fp32, rounded to pixels."""
    padded, _lengths = pad([clip], network.config)
    device = next(network.parameters()).device
    with torch.inference_mode():
        _embedding, painted = network(padded.to(device))
    scaled = painted[0] * (255 if network.config.normalised else 1)
    pixels: Frames = scaled.round().clamp(0, 255).to(torch.uint8).cpu().numpy()
    return pixels


def some_frames(clip: Frames, n: int) -> Frames:
    """At most n frames of (3, D, H, W), spread over the clip, the first and the last among them."""
    last = clip.shape[1] - 1
    return clip[:, sorted({round(i * last / max(1, n - 1)) for i in range(n)})]


def draw_strips(path: Path, strips: Sequence[Strip], *, frame_height_px: int = 128) -> None:
    """Write a PNG with the strips one below the other, whole or not at all."""
    font = ImageFont.load_default()
    rows = [
        [_picture(strip.frames[:, t], frame_height_px) for t in range(strip.frames.shape[1])]
        for strip in strips
    ]
    width = max((sum(picture.width + GAP_PX for picture in row) for row in rows), default=0)
    size = (LABEL_PX + width + GAP_PX, len(rows) * (frame_height_px + GAP_PX) + GAP_PX)
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    for number, (strip, row) in enumerate(zip(strips, rows, strict=True)):
        top, left = GAP_PX + number * (frame_height_px + GAP_PX), LABEL_PX
        pen.text((GAP_PX, top + frame_height_px // 2 - 6), strip.label, fill="black", font=font)
        for picture in row:
            sheet.paste(picture, (left, top))
            left += picture.width + GAP_PX
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        sheet.save(file, format="PNG")


def _picture(frame: Frames, height_px: int) -> Image.Image:
    """(3, H, W) as a picture of that height, its pixels left square and sharp."""
    picture = Image.fromarray(np.ascontiguousarray(frame.transpose(1, 2, 0)))
    width_px = max(1, round(picture.width * height_px / picture.height))
    return picture.resize((width_px, height_px), Image.Resampling.NEAREST)
