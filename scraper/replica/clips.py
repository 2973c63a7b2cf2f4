"""Real mp4 files for the replica's videos: made by ffmpeg at first use, kept in a folder.

ReplicaError
├── UnknownFault    a fault that there is not; the message names those that there are
└── ClipFailed      ffmpeg is missing, or refused the picture or the sound
"""

import hashlib
import json
import logging
import math
import os
import random
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from catalog.files import atomic_file
from scraper.replica.content import Appearance, Content, Pattern, ReplicaVideo

log = logging.getLogger(__name__)


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


def _palette(look: Appearance, mean: float) -> str:
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


SAMPLE_RATE_HZ = 44_100
SPEECH_FOLDER = Path(__file__).parent / "speech"
# Semitones of four-chord loops, as roots over the key note with major (4) or minor (3) third.
PROGRESSIONS = (
    ((0, 4), (7, 4), (9, 3), (5, 4)),
    ((0, 3), (8, 4), (3, 4), (10, 4)),
    ((9, 3), (5, 4), (0, 4), (7, 4)),
    ((0, 4), (9, 3), (2, 3), (7, 4)),
)


def speech_files(rng: random.Random, duration_s: float) -> list[Path]:
    """Sentences, in a random order, that together are at least as long as asked."""
    files = sorted(SPEECH_FOLDER.glob("*.flac"))
    chosen: list[Path] = []
    # The shortest sentence has 3 s, so that this many of them are always enough.
    while len(chosen) * 3 < duration_s + 3:
        chosen += rng.sample(files, len(files))
    return chosen[: math.ceil(duration_s / 3) + 1]


def compose_music(rng: random.Random, duration_s: float) -> NDArray[np.float32]:
    """A bass, an arpeggio and a soft beat over four chords. returns: (T,) float32 in [-1, 1]"""
    out = np.zeros(int(duration_s * SAMPLE_RATE_HZ) + SAMPLE_RATE_HZ, dtype=np.float32)
    beat_s = 60 / rng.uniform(84, 132)
    key_hz = 110 * 2 ** (rng.randrange(-4, 8) / 12)
    loop = rng.choice(PROGRESSIONS)
    order = rng.choice(((0, 1, 2, 3), (0, 2, 1, 3), (3, 2, 1, 0), (0, 2, 3, 2)))
    harmonics = rng.choice(((1.0, 0.4, 0.2), (1.0, 0.1, 0.4), (1.0, 0.6, 0.1)))
    # Hiss of a few milliseconds is the beat; its seed is part of the tune.
    hiss = np.random.default_rng(rng.getrandbits(32)).normal(0, 1, SAMPLE_RATE_HZ // 20)
    tick = np.asarray(hiss * np.exp(-np.linspace(0, 9, hiss.size)), dtype=np.float32)
    for i in range(int(duration_s / (beat_s / 2)) + 1):
        root, third = loop[i // 8 % 4]
        notes = (root, root + third, root + 7, root + 12)
        at = int(i * beat_s / 2 * SAMPLE_RATE_HZ)
        pitch_hz = 2 * key_hz * 2 ** (notes[order[i % 4]] / 12)
        _add(out, at, _pluck(pitch_hz, 0.5, harmonics), 0.16)
        if i % 4 == 0:
            _add(out, at, _pluck(key_hz / 2 * 2 ** (root / 12), 0.9, (1.0, 0.5, 0.1)), 0.32)
        if i % 2:
            _add(out, at, tick, 0.05)
    return np.clip(out[: int(duration_s * SAMPLE_RATE_HZ)], -1, 1)


def make_noise(rng: random.Random, duration_s: float) -> NDArray[np.float32]:
    """Wind or traffic: noise of a random colour that swells slowly. returns: (T,) float32"""
    n_samples = int(duration_s * SAMPLE_RATE_HZ)
    # Below 40 Hz nothing is heard, and an unbounded 1/f would be all rumble.
    bands_hz = np.maximum(np.fft.rfftfreq(n_samples, 1 / SAMPLE_RATE_HZ), 40.0)
    noise = np.random.default_rng(rng.getrandbits(32))
    spectrum = noise.normal(size=bands_hz.size) + 1j * noise.normal(size=bands_hz.size)
    wave = np.fft.irfft(spectrum * bands_hz ** -rng.uniform(0.0, 0.8), n_samples)
    time_s = np.arange(n_samples) / SAMPLE_RATE_HZ
    swell = 0.7 + 0.3 * np.sin(math.tau * rng.uniform(0.1, 0.4) * time_s)
    return np.asarray(0.12 * swell * wave / wave.std(), dtype=np.float32)


def _pluck(pitch_hz: float, length_s: float, harmonics: tuple[float, ...]) -> NDArray[np.float32]:
    time_s = np.arange(int(length_s * SAMPLE_RATE_HZ), dtype=np.float32) / SAMPLE_RATE_HZ
    phase = np.float32(math.tau * pitch_hz) * time_s
    wave = np.zeros_like(time_s)
    for k, weight in enumerate(harmonics, start=1):
        wave += np.float32(weight) * np.sin(k * phase)
    # 5 ms of attack and a fade to nothing keep it free of clicks.
    envelope = np.minimum(time_s / 0.005, 1) * np.exp(-4 * time_s / length_s)
    return np.asarray(wave * envelope * (1 - time_s / length_s), dtype=np.float32)


def _add(out: NDArray[np.float32], at: int, sound: NDArray[np.float32], volume: float) -> None:
    end = min(at + sound.size, out.size)
    out[at:end] += np.float32(volume) * sound[: end - at]


class ReplicaError(Exception):
    """Something that the stand-in site could not do."""

    exit_code: ClassVar[int] = 1


class UnknownFault(ReplicaError):
    """Show what was asked for, and what there is."""


class ClipFailed(ReplicaError):
    """No clip came out of ffmpeg; the message has its last words."""


# Part of each file's name, so that a change of recipe never serves yesterday's clip.
RECIPE = 1
TIMEOUT_S = 120
WORKERS = 2


def make_clip(video: ReplicaVideo, folder: Path) -> Path:
    """The video's mp4 in `folder`, made now if it is not there yet.

    Equal videos give equal bytes under one ffmpeg build. Raises ClipFailed.
    """
    path = clip_path(video, folder)
    if path.exists():
        return path
    with atomic_file(path) as part:
        _run_ffmpeg(video, part)
    return path


def clip_path(video: ReplicaVideo, folder: Path) -> Path:
    """Where the video's clip is or will be."""
    return folder / f"{video.tiktok_id}-{_digest(video)}.mp4"


def warm(
    content: Content,
    folder: Path,
    on_clip: Callable[[ReplicaVideo], None] = lambda _: None,
) -> int:
    """Make every clip that is missing, some at a time; returns how many there were to make."""
    missing = [v for v in content.videos if not clip_path(v, folder).exists()]
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="clip") as pool:
        for video, _ in zip(
            missing, pool.map(lambda v: make_clip(v, folder), missing), strict=True
        ):
            on_clip(video)
    return len(missing)


def ffmpeg_arguments(video: ReplicaVideo, target: Path) -> list[str]:
    """The whole ffmpeg command line; music and noise are read as samples from standard input."""
    rng = random.Random(f"{video.tiktok_id}/sound")
    inputs, sound_graph = _sound_graph(video, rng)
    graph = picture_graph(video) + sound_graph
    command = ["ffmpeg", "-v", "error", "-y"]
    command += ["-filter_complex_threads", "1", "-filter_threads", "1", *inputs]
    command += ["-filter_complex", graph, "-map", "[v]"]
    if video.sound != "none":
        command += ["-map", "[a]", "-c:a", "aac", "-aac_coder", "fast", "-b:a", "64k", "-ac", "1"]
        command += ["-ar", str(SAMPLE_RATE_HZ)]
    command += ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-qp", "31"]
    # One thread: the bytes are then the same each time, and it is the cheapest per frame.
    command += ["-g", "90", "-pix_fmt", "yuv420p", "-threads", "1", "-r", str(video.rate_hz)]
    command += ["-t", f"{video.duration_s:.3f}", "-movflags", "+faststart", "-map_metadata", "-1"]
    return [*command, "-fflags", "+bitexact", "-flags", "+bitexact", "-f", "mp4", str(target)]


def _sound_graph(video: ReplicaVideo, rng: random.Random) -> tuple[list[str], str]:
    if video.sound == "none":
        return [], ""
    if video.sound == "silence":
        return [], f";anullsrc=r={SAMPLE_RATE_HZ}:cl=mono[a]"
    if video.sound == "speech":
        files = speech_files(rng, video.duration_s)
        inputs = [word for path in files for word in ("-i", str(path))]
        joined = "".join(f"[{i}:a]" for i in range(len(files)))
        # A little faster or slower, higher or lower: not the same voice in every video.
        pitch = rng.uniform(0.92, 1.1)
        return inputs, (
            f";{joined}concat=n={len(files)}:v=0:a=1,asetrate={round(16_000 * pitch)},"
            f"aresample={SAMPLE_RATE_HZ}[a]"
        )
    return ["-f", "f32le", "-ar", str(SAMPLE_RATE_HZ), "-ac", "1", "-i", "pipe:0"], ";[0:a]anull[a]"


def _samples(video: ReplicaVideo) -> bytes | None:
    rng = random.Random(f"{video.tiktok_id}/samples")
    if video.sound == "music":
        return compose_music(rng, video.duration_s).tobytes()
    if video.sound == "noise":
        return make_noise(rng, video.duration_s).tobytes()
    return None


def _digest(video: ReplicaVideo) -> str:
    # Only what is seen and heard: a new caption or a new count is no new clip.
    seen = (RECIPE, video.tiktok_id, video.look, video.sound, video.duration_s)
    size = (video.width_px, video.height_px, video.rate_hz)
    return hashlib.sha256(repr((seen, size)).encode()).hexdigest()[:8]


def _run_ffmpeg(video: ReplicaVideo, target: Path) -> None:
    samples = _samples(video)
    try:
        done = subprocess.run(
            ffmpeg_arguments(video, target),
            input=samples,
            stdin=subprocess.DEVNULL if samples is None else None,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError as error:
        raise ClipFailed("ffmpeg is not installed; the replica makes its clips with it") from error
    except subprocess.TimeoutExpired as error:
        raise ClipFailed(f"ffmpeg took over {TIMEOUT_S} s for {video.tiktok_id}") from error
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip().splitlines()[-3:]
        raise ClipFailed(f"ffmpeg exited {done.returncode} for {video.tiktok_id}: {words}")
    log.debug("made clip %s", video.tiktok_id)


def write_collection(content: Content, folder: Path, *, clips: Path) -> int:
    """Write ID.mp4 and ID.info.json of every video into `folder`; return how many.

    clips: the folder where the clips are made and kept; the mp4 files are links to them where
    the disk can do that. What is there already stays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for video in content.videos:
        clip = make_clip(video, clips)
        media = folder / f"{video.tiktok_id}.mp4"
        if not media.exists():
            _place(clip, media)
        described = json.dumps(info_of(video), ensure_ascii=False)
        (folder / f"{video.tiktok_id}.info.json").write_text(described, encoding="utf-8")
    return len(content.videos)


def info_of(video: ReplicaVideo) -> dict[str, Any]:
    """Describe a video as yt-dlp does; the count is that of the snapshot, the last day of posts."""
    return {
        "_type": "video",
        "id": video.tiktok_id,
        "extractor_key": "TikTok",
        "webpage_url": f"https://www.tiktok.com/@{video.handle}/video/{video.tiktok_id}",
        "uploader": video.handle,
        "channel": video.account.nickname,
        "title": video.caption[:72],
        "description": video.caption,
        "timestamp": int(video.created_at.timestamp()),
        "duration": video.duration_s,
        "width": video.width_px,
        "height": video.height_px,
        "view_count": video.views,
    }


def _place(clip: Path, media: Path) -> None:
    try:
        os.link(clip, media)
    except OSError:
        media.write_bytes(clip.read_bytes())
