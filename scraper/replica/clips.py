"""Real mp4 files for the replica's videos: made by ffmpeg at first use, kept in a folder."""

import hashlib
import logging
import random
import subprocess
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from scraper.replica.content import Content, ReplicaVideo
from scraper.replica.errors import ClipFailed
from scraper.replica.pictures import picture_graph
from scraper.replica.sounds import SAMPLE_RATE_HZ, compose_music, make_noise, speech_files

log = logging.getLogger(__name__)

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
    folder.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.stem}-{uuid.uuid4().hex}.part")
    try:
        _run_ffmpeg(video, part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
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
