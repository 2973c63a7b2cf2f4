"""Check that a file is the whole, playable video it should be, without trusting its name."""

import json
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import ffmpeg

from catalog.errors import name_text
from scraper.errors import BadMedia, ToolMissing, one_line
from scraper.items import MAX_SIDE_PX

PROBE_S = 30.0
DECODE_S = 300.0
DURATION_SLACK_S = 2.0
MOST_STRETCHED = 8.0
# A track of another kind, a header's rounding, a late start: the end may be so much earlier.
END_SLACK_S, END_SLACK = 1.0, 0.1
# What a phone, a site or a tool writes, by content and never by name. No playlist (hls, concat) is
# among them: in a video's clothes it could name other files of this machine.
DEMUXERS = "mov,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg"
# In place of a file's own name, whose bytes need not be UTF-8, as ffmpeg-python would have them.
ANY_NAME = "file:any"
ONLY_THIS_FILE = {"format_whitelist": DEMUXERS, "protocol_whitelist": "file"}


# By which ffmpeg names the part of itself that speaks: another one each time.
ADDRESS_IN_MEMORY = re.compile(r"\[[^\[\]]+ @ 0x[0-9a-f]+\] ")


@dataclass(frozen=True)
class Probe:
    """What a file holds; fps is the header's average; width and height are as it is shown."""

    duration_s: float
    width_px: int
    height_px: int
    fps: float
    has_audio: bool
    facts: dict[str, Any]


def check_media(path: Path, *, duration_s: float | None) -> Probe:
    """Probe a file and decode it once to its end. Raises BadMedia.

    That end must be about where the file's own header says. duration_s: what the site says, in
    whole seconds; None if it did not.
    """
    probe = probe_media(path)
    if duration_s is not None and abs(probe.duration_s - duration_s) > DURATION_SLACK_S:
        raise BadMedia(f"{path.name} lasts {probe.duration_s:.1f} s instead of {duration_s:.1f} s")
    end_s = _decode(path)
    slack_s = max(END_SLACK_S, END_SLACK * probe.duration_s)
    if end_s is not None and probe.duration_s - end_s > slack_s:
        promised = f"the {probe.duration_s:.1f} s that its header promises"
        raise BadMedia(f"{name_text(path.name)} is cut off: {end_s:.1f} s of {promised} are there")
    return probe


def probe_media(path: Path) -> Probe:
    """Read a file's header with ffprobe. Raises BadMedia."""
    # Not ffmpeg.probe, which would wait for a file that never ends.
    raw = _ffprobe(path, "-show_format", "-show_streams")
    streams = [stream for stream in raw.get("streams", []) if isinstance(stream, dict)]
    # A cover picture is a video stream to ffprobe.
    pictures = [
        s
        for s in streams
        if s.get("codec_type") == "video" and not s.get("disposition", {}).get("attached_pic")
    ]
    sounds = [s for s in streams if s.get("codec_type") == "audio"]
    if len(pictures) != 1:
        raise BadMedia(f"{path.name} has {len(pictures)} video streams instead of 1")
    try:
        stated_s = raw["format"].get("duration")
        duration_s = _measured_s(path) if stated_s is None else float(stated_s)
        width_px, height_px = _shown_size(pictures[0])
        fps = _rate(pictures[0])
    except (KeyError, ValueError, ZeroDivisionError) as error:
        raise BadMedia(f"{path.name} lacks a length, a size or a frame rate: {error!r}") from error
    if not (duration_s > 0 and fps > 0 and 0 < width_px <= MAX_SIDE_PX >= height_px > 0):
        raise BadMedia(f"{path.name} is {width_px}x{height_px} px, {fps} fps, {duration_s} s")
    rotation_deg = _rotation_deg(pictures[0])
    if rotation_deg % 180 == 90:
        width_px, height_px = height_px, width_px
    facts = {
        "container": raw["format"].get("format_name"),
        "duration_s": duration_s,
        "width_px": width_px,
        "height_px": height_px,
        "rotation_deg": rotation_deg,
        "fps": fps,
        "n_frames": _int(pictures[0].get("nb_frames")),
        "video_codec": pictures[0].get("codec_name"),
        "pixel_format": pictures[0].get("pix_fmt"),
        "audio_codec": sounds[0].get("codec_name") if sounds else None,
        "audio_rate_hz": _int(sounds[0].get("sample_rate")) if sounds else None,
        "audio_channels": sounds[0].get("channels") if sounds else None,
        "bit_rate": _int(raw["format"].get("bit_rate")),
    }
    return Probe(duration_s, width_px, height_px, fps, bool(sounds), facts)


def _shown_size(stream: Mapping[str, Any]) -> tuple[int, int]:
    """Return width and height once the pixels are square; what is stretched gets more of them."""
    width_px, height_px = int(stream["width"]), int(stream["height"])
    wide, _, high = str(stream.get("sample_aspect_ratio", "1:1")).partition(":")
    aspect = int(wide) / int(high) if wide.isdecimal() and high.isdecimal() and int(high) else 1.0
    if not 1 / MOST_STRETCHED <= aspect <= MOST_STRETCHED:  # nobody shows it so
        return width_px, height_px
    return round(width_px * max(aspect, 1)), round(height_px * max(1 / aspect, 1))


def _ffprobe(path: Path, *asked: str) -> dict[str, Any]:
    command = ["ffprobe", "-v", "error"]
    command += [text for name, value in ONLY_THIS_FILE.items() for text in (f"-{name}", value)]
    command += ["-of", "json", *asked, _address(path)]
    try:
        found = json.loads(_run(command, path, PROBE_S))
    except BadMedia as error:
        with path.open("rb") as file:
            head = file.read(12)
        raise BadMedia(f"{error}; it begins with {head!r}") from error
    return found if isinstance(found, dict) else {}


def _measured_s(path: Path) -> float:
    """Return when the last picture ends, for a file whose header does not say how long it is."""
    asked = ("-select_streams", "v:0", "-show_entries", "packet=pts_time,duration_time")
    ends = [0.0]
    for packet in _ffprobe(path, *asked).get("packets", []):
        ends.append(float(packet.get("pts_time", 0)) + float(packet.get("duration_time", 0)))
    return max(ends)


def _rate(stream: Mapping[str, Any]) -> float:
    # Containers without an index have no average: then the rate that the stream names.
    rates = [str(stream.get(name)) for name in ("avg_frame_rate", "r_frame_rate")]
    given = [rate for rate in rates if rate not in ("0/0", "None")]
    return float(Fraction(given[0])) if given else 0.0


def _decode(path: Path) -> float | None:
    """Decode all of a file; return when its last picture or sound ends, None if that has no time.

    A file that was cut off has a perfect header; only decoding finds where it ends. Of an mp4 that
    is an error, a webm or mkv just ends early.
    """
    command = ffmpeg.input(ANY_NAME, **ONLY_THIS_FILE).output("-", f="null", threads=1).compile()
    command[command.index(ANY_NAME)] = _address(path)
    # In front: behind the output ffmpeg takes them for a slip.
    options = ["-hide_banner", "-v", "error", "-xerror", "-nostdin", "-progress", "-"]
    told = _run([command[0], *options, *command[1:]], path, DECODE_S, "finds it cut off or damaged")
    times = re.findall(rb"^out_time_us=([0-9]+)$", told, re.MULTILINE)
    return int(times[-1]) / 1_000_000 if times else None


def _run(command: list[str], path: Path, limit_s: float, verdict: str = "refuses it") -> bytes:
    try:
        done = subprocess.run(
            command, capture_output=True, check=True, timeout=limit_s, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError as error:
        raise ToolMissing(f"{command[0]} is not installed: no file can be checked") from error
    except subprocess.TimeoutExpired as error:
        raise BadMedia(f"{command[0]} took more than {limit_s:.0f} s for {path.name}") from error
    except subprocess.CalledProcessError as error:
        # The first words are of the fault, the later ones of what followed from it.
        words = error.stderr.decode("utf-8", "surrogateescape").replace(_address(path), path.name)
        words = one_line(ADDRESS_IN_MEMORY.sub("", words).strip()[:300])
        raise BadMedia(f"{name_text(path.name)}: {command[0]} {verdict}: {words}") from error
    return done.stdout


def _address(path: Path) -> str:
    return f"file:{path.resolve()}"


def _rotation_deg(stream: Mapping[str, Any]) -> int:
    found = [side.get("rotation") for side in stream.get("side_data_list", [])]
    turns = [int(value) for value in found if isinstance(value, (int, float))]
    return turns[0] if turns else 0


def _int(value: object) -> int | None:
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() else None
