"""Filter graphs of moving pictures whose mean colour and speed are chosen beforehand."""

import math
import random
from dataclasses import dataclass

from scraper.replica.content import Look, Pattern, ReplicaVideo

# Peak swing of the brightness around its mean, and of the colour around grey, both in 0..1.
CONTRAST = 0.18
CHROMA = 0.17
# Plane angle of pure red in (Cb, Cr); from there it is 60 degrees to yellow, as on the usual wheel.
RED_DEG = 108.7
# Cycles per second at which a point of a still and of a fast picture goes dark and bright again.
# Slow enough that frames a second apart do not alias.
SLOWEST_HZ, FASTEST_HZ = 0.015, 0.5

# Periodic in X and Y, so that the camera can travel for ever; A, B count periods across and down.
TEXTURES: dict[Pattern, str] = {
    "stripes": "127.5+clip(240*sin(2*PI*({A}*X/W+{B}*Y/H)),-127.5,127.5)",
    "rings": "127.5+127.5*sin(2*PI*({R}*hypot(sin(PI*{S}*X/W),sin(PI*{T}*Y/H))+{P}))",
    "checks": "127.5+clip(500*sin(2*PI*{A}*X/W)*sin(2*PI*{B}*Y/H),-127.5,127.5)",
    "plasma": (
        "127.5+clip(72*(sin(2*PI*({A}*X/W+{P}))+sin(2*PI*({B}*Y/H-X/W))"
        "+sin(2*PI*({A}*X/W+{B}*Y/H+0.3*sin(2*PI*Y/H)))),-127.5,127.5)"
    ),
    "dots": "127.5+clip(200*(cos(2*PI*{A}*X/W)+cos(2*PI*{B}*Y/H)),-127.5,127.5)",
    "gradient": "127.5+127.5*sin(2*PI*(X/W+{P}))*cos(2*PI*(Y/H+{P}))",
}
# Mean grey of the live sources, measured over seeds; a texture's follows from its symmetry.
TEXTURE_MEAN, LIFE_MEAN, FRACTAL_MEAN = 127.5, 99.0, 165.0
# Measured, so that equal motion means about equal change per second at 32x18 in every pattern.
PACES: dict[Pattern, float] = {
    "stripes": 0.7,
    "rings": 1.3,
    "checks": 0.75,
    "plasma": 1.1,
    "dots": 1.0,
    "gradient": 1.2,
    "life": 1.0,
    "fractal": 1.6,
}
ZOOM_TARGETS = (
    (-0.743643887037151, 0.131825904205330),
    (-0.1607, 1.0376),
    (-1.25066, 0.02012),
    (0.360240443437614, -0.641313061064803),
)


@dataclass(frozen=True)
class _Source:
    """A lavfi source of grey pictures, their mean grey, and periods across and down a frame."""

    graph: str
    mean: float
    across: float = 1.0
    down: float = 1.0


def picture_graph(video: ReplicaVideo) -> str:
    """A lavfi graph that ends in [v]: endless yuv420p frames of the video's size and rate."""
    look, rng = video.look, random.Random(video.look.texture)
    pace_hz = SLOWEST_HZ + (FASTEST_HZ - SLOWEST_HZ) * look.motion
    source = _source(video, rng, pace_hz * PACES[look.pattern])
    steps = [
        source.graph,
        "format=rgb24",
        _palette(look, source.mean),
        f"scale={video.width_px}:{video.height_px}:flags=bilinear",
        "setsar=1",
        "format=yuv420p",
    ]
    if look.pattern in TEXTURES:
        # One frame is drawn, coloured and enlarged; the camera then travels over copies of it.
        steps.append(f"loop=loop=-1:size=1:start=0,setpts=N/({video.rate_hz}*TB)")
    steps.append(_camera(rng, source, pace_hz * PACES[look.pattern] / video.rate_hz))
    graph = ",".join(steps) + "[b0]"
    n_discs = rng.choice((1, 2, 2, 3))
    for i in range(n_discs):
        graph += ";" + _disc(video, rng, i, pace_hz)
    return f"{graph};[b{n_discs}]null[v]"


def colour(luma: float, hue_deg: float) -> tuple[int, int, int]:
    """R, G, B of 0..255 with this brightness and hue, as colourful as the gamut allows."""
    luma = min(max(luma, 0.01), 0.99)
    angle = math.radians(RED_DEG + hue_deg)
    cb, cr = math.cos(angle), math.sin(angle)
    red, blue = 1.402 * cr, 1.772 * cb
    direction = (red, -(0.299 * red + 0.114 * blue) / 0.587, blue)
    # How far one can go before a channel leaves 0..1; then brightness and hue stay as asked.
    room = [((1 - luma) if d > 0 else luma) / abs(d) for d in direction if d]
    reach = min(CHROMA, *room)
    r, g, b = (round(255 * (luma + reach * d)) for d in direction)
    return r, g, b


def _source(video: ReplicaVideo, rng: random.Random, pace_hz: float) -> _Source:
    look = video.look
    if look.pattern == "life":
        return _life(video, rng, pace_hz)
    if look.pattern == "fractal":
        return _fractal(video, rng)
    across = rng.choice((1, 2, 2, 3))
    down = max(1, round(across * video.height_px / video.width_px))
    rings = rng.choice((1, 2, 3))
    expression = TEXTURES[look.pattern].format(
        A=across, B=down, R=rings, S=across, T=down, P=f"{rng.random():.3f}"
    )
    # Half the size is enough: enlarging softens the edges, and the pattern costs a quarter.
    size = f"{video.width_px // 4 * 2}x{video.height_px // 4 * 2}"
    graph = f"color=c=black:s={size}:r={video.rate_hz}:d=0.02,format=gray,geq=lum='{expression}'"
    if look.pattern == "gradient":
        return _Source(graph, TEXTURE_MEAN)
    if look.pattern == "rings":
        # From one centre to the next the distance rises and falls again.
        return _Source(graph, TEXTURE_MEAN, 1.5 * rings * across, 1.5 * rings * down)
    return _Source(graph, TEXTURE_MEAN, across, down)


def _life(video: ReplicaVideo, rng: random.Random, pace_hz: float) -> _Source:
    cell_px = rng.choice((24, 30, 36))
    size = f"{video.width_px // cell_px}x{video.height_px // cell_px}"
    graph = (
        f"life=s={size}:rate={round(1000 * (0.2 + 6 * pace_hz))}/1000:ratio=0.35:mold=16"
        f":random_seed={video.look.texture % 65_536}:life_color=white:death_color=0x606060"
        f":mold_color=black,fps={video.rate_hz},format=gray"
    )
    return _Source(graph, LIFE_MEAN, 4.0, 4.0)


def _fractal(video: ReplicaVideo, rng: random.Random) -> _Source:
    x, y = rng.choice(ZOOM_TARGETS)
    n_frames = round(video.duration_s * video.rate_hz)
    end = 0.8 * math.exp(-0.4 * video.duration_s)
    size = f"{video.width_px // 8 * 2}x{video.height_px // 4 * 2}"
    # Its mirror image beside it makes a kaleidoscope that the camera can circle for ever.
    graph = (
        f"mandelbrot=s={size}:rate={video.rate_hz}:maxiter=160:start_x={x}:start_y={y}"
        f":start_scale=0.8:end_scale={end:.8f}:end_pts={n_frames}:inner=convergence,"
        "format=gray,split[m0][m1];[m1]hflip[m2];[m0][m2]hstack"
    )
    return _Source(graph, FRACTAL_MEAN, down=math.inf)


def _palette(look: Look, mean: float) -> str:
    """Colours a grey picture of this mean: shadows turn one way on the wheel, lights the other."""
    swing = 22 if look.texture % 2 else -22
    dark = colour(look.luma - CONTRAST * mean / 127.5, look.hue_deg - swing)
    light = colour(look.luma + CONTRAST * (255 - mean) / 127.5, look.hue_deg + swing)
    channels = (
        f"{name}='{low}+val*{(high - low) / 255:.5f}'"
        for name, low, high in zip("rgb", dark, light, strict=True)
    )
    return "lutrgb=" + ":".join(channels)


def _camera(rng: random.Random, source: _Source, cycles_per_frame: float) -> str:
    """Scrolls so that `cycles_per_frame` periods of the texture pass by, partly each way."""
    share = rng.uniform(0.55, 1.0)
    direction = rng.choice((-1, 1))
    # Both ways with one sign: slanted stripes would stand still if the two undid each other.
    across = direction * share * cycles_per_frame / source.across
    down = direction * (1 - share) * cycles_per_frame / source.down
    return f"scroll=h={across:.6f}:v={down:.6f}"


def _disc(video: ReplicaVideo, rng: random.Random, index: int, rate_hz: float) -> str:
    """Overlays one round spot that circles over [b{index}] and gives [b{index + 1}]."""
    look = video.look
    short = min(video.width_px, video.height_px)
    size = int(short * rng.uniform(0.14, 0.26)) // 2 * 2
    # Small, so that it adds movement and hardly changes the mean colour.
    spot = colour(
        min(max(look.luma + rng.choice((-0.2, 0.2)), 0.08), 0.92),
        look.hue_deg + rng.choice((-50, 50, 150)),
    )
    soft = rng.choice((2, 6, size / 3))
    alpha = f"255*clip(({size / 2}-hypot(X-{size / 2},Y-{size / 2}))/{soft:.1f},0,1)"
    pace = math.tau * rate_hz * rng.uniform(0.5, 0.9)
    start, ratio = rng.uniform(0, math.tau), rng.uniform(0.6, 1.5)
    hex_colour = "0x{:02x}{:02x}{:02x}".format(*spot)
    return (
        f"color=c={hex_colour}:s={size}x{size}:r={video.rate_hz}:d=0.02,format=yuva420p,"
        f"geq=lum='lum(X,Y)':cb='cb(X,Y)':cr='cr(X,Y)':a='{alpha}',"
        f"loop=loop=-1:size=1:start=0,setpts=N/({video.rate_hz}*TB)[d{index}];"
        f"[b{index}][d{index}]overlay="
        f"x='(W-w)/2*(1+0.9*sin({start:.3f}+{pace:.4f}*t))'"
        f":y='(H-h)/2*(1+0.9*cos({start:.3f}+{pace * ratio:.4f}*t))'[b{index + 1}]"
    )
