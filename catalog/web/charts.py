"""Charts as small inline SVG."""

import html
import math
from collections.abc import Sequence

SIDE_PX, MARGIN_PX = 460, 64


def scatter(points: Sequence[tuple[float, float]], *, x_label: str, y_label: str) -> str:
    """Return an SVG of points (x, y) on two equal logarithmic axes, with the line y = x.

    Values are >= 0; below a thousandth they are drawn at a thousandth.
    """
    logs = [(_log(x), _log(y)) for x, y in points]
    every = [value for pair in logs for value in pair]
    low = math.floor(min(every, default=0.0))
    high = max(math.ceil(max(every, default=1.0)), low + 1)

    def place(value: float) -> float:
        return MARGIN_PX + (value - low) / (high - low) * SIDE_PX

    bottom, size = MARGIN_PX + SIDE_PX, SIDE_PX + 2 * MARGIN_PX
    parts = [f"<svg viewBox='0 0 {size} {size}' width='{size}' role='img' font-size='12'>"]
    parts.append(f"<title>{html.escape(y_label)} against {html.escape(x_label)}</title>")
    for decade in range(low, high + 1):
        at = place(decade)
        up = size - at
        text = f"{10.0**decade:,g}"
        parts.append(
            f"<path d='M{at:.1f} {MARGIN_PX}V{bottom}M{MARGIN_PX} {up:.1f}H{bottom}'"
            " stroke='#e2e6ec'/>"
            f"<text x='{at:.1f}' y='{bottom + 18}' text-anchor='middle'>{text}</text>"
            f"<text x='{MARGIN_PX - 8}' y='{up + 4:.1f}' text-anchor='end'>{text}</text>"
        )
    parts.append(f"<path d='M{MARGIN_PX} {bottom}L{bottom} {MARGIN_PX}' stroke='#8a94a3'/>")
    parts += [
        f"<circle cx='{place(x):.1f}' cy='{size - place(y):.1f}' r='3.5' fill='#2763c4'"
        " fill-opacity='.55'/>"
        for x, y in logs
    ]
    middle = size / 2
    parts.append(
        f"<text x='{middle}' y='{size - 14}' text-anchor='middle'>{html.escape(x_label)}</text>"
        f"<text transform='translate(16 {middle}) rotate(-90)' text-anchor='middle'>"
        f"{html.escape(y_label)}</text></svg>"
    )
    return "".join(parts)


def _log(value: float) -> float:
    return math.log10(max(value, 1e-3))
