"""The pictures of an autoencoder's training: clips beside their reconstructions, loss curves."""

import html
import math
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
WIDTH_PX, HEIGHT_PX, MARGIN_PX = 640, 320, 56
COLOURS = ("#2763c4", "#c4472b", "#2f8f5b", "#7a4fb5")


@dataclass(frozen=True)
class Strip:
    """One row of a picture: a label and frames (3, D, H, W), which need not be of one size."""

    label: str
    frames: Frames


@dataclass(frozen=True)
class Curve:
    """One line of a chart: (epoch, loss) points, losses above 0."""

    label: str
    points: Sequence[tuple[int, float]]


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


def draw_curves(curves: Sequence[Curve], *, y_label: str) -> str:
    """Return the curves as an inline SVG, the losses on a logarithmic axis."""
    points = [point for curve in curves for point in curve.points]
    last = max((epoch for epoch, _loss in points), default=1)
    logs = [math.log10(loss) for _epoch, loss in points if loss > 0]
    low, high = min(logs, default=0.0), max(logs, default=1.0)
    spare = 0.05 * (high - low) or 0.1
    low, high = low - spare, high + spare
    inner_width, inner_height = WIDTH_PX - 2 * MARGIN_PX, HEIGHT_PX - 2 * MARGIN_PX

    def x(epoch: float) -> float:
        return MARGIN_PX + (epoch - 1) / max(1, last - 1) * inner_width

    def y(log: float) -> float:
        return MARGIN_PX + (high - log) / (high - low) * inner_height

    bottom = HEIGHT_PX - MARGIN_PX
    parts = [
        f"<svg viewBox='0 0 {WIDTH_PX} {HEIGHT_PX}' width='{WIDTH_PX}' role='img' font-size='12'>",
        f"<title>{html.escape(y_label)} by epoch</title>",
    ]
    for i in range(5):
        at = low + i * (high - low) / 4
        parts.append(
            f"<path d='M{MARGIN_PX} {y(at):.1f}H{WIDTH_PX - MARGIN_PX}' stroke='#e2e6ec'/>"
            f"<text x='{MARGIN_PX - 6}' y='{y(at) + 4:.1f}' text-anchor='end'>{10**at:,.4g}</text>"
        )
    for epoch in sorted({1, (1 + last) // 2, last}):
        parts.append(
            f"<text x='{x(epoch):.1f}' y='{bottom + 18}' text-anchor='middle'>{epoch}</text>"
        )
    for number, curve in enumerate(curves):
        colour = COLOURS[number % len(COLOURS)]
        line = " ".join(f"{x(e):.1f},{y(math.log10(v)):.1f}" for e, v in curve.points if v > 0)
        parts.append(
            f"<polyline points='{line}' fill='none' stroke='{colour}' stroke-width='2'/>"
            f"<text x='{WIDTH_PX - MARGIN_PX}' y='{16 + 15 * number}' text-anchor='end'"
            f" fill='{colour}'>{html.escape(curve.label)}</text>"
        )
    parts.append(
        f"<text x='{WIDTH_PX / 2}' y='{HEIGHT_PX - 12}' text-anchor='middle'>epoch</text>"
        f"<text transform='translate(12 {HEIGHT_PX / 2}) rotate(-90)' text-anchor='middle'>"
        f"{html.escape(y_label)}</text></svg>"
    )
    return "".join(parts)


def write_page(path: Path, title: str, figures: Sequence[tuple[str, str]]) -> None:
    """Write an HTML page of (caption, inline markup) figures."""
    body = "".join(
        f"<figure>{markup}<figcaption>{html.escape(caption)}</figcaption></figure>"
        for caption, markup in figures
    )
    page = (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{html.escape(title)}</title>"
        "<style>body{font-family:sans-serif;margin:2em}img{max-width:100%}"
        "figcaption{color:#555;margin:.5em 0 2em}</style>"
        f"<h1>{html.escape(title)}</h1>{body}</html>"
    )
    with atomic_file(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def image_tag(name: str, alt: str) -> str:
    """Return the markup of a picture that lies beside the page."""
    return f"<img src='{html.escape(name, quote=True)}' alt='{html.escape(alt, quote=True)}'>"


def _picture(frame: Frames, height_px: int) -> Image.Image:
    """(3, H, W) as a picture of that height, its pixels left square and sharp."""
    picture = Image.fromarray(np.ascontiguousarray(frame.transpose(1, 2, 0)))
    width_px = max(1, round(picture.width * height_px / picture.height))
    return picture.resize((width_px, height_px), Image.Resampling.NEAREST)
