"""Media files made by ffmpeg for the tests of this package, with their recipes."""

import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

SOURCES = {
    "moving": "testsrc2=size=144x256:rate=30",
    "wide": "testsrc2=size=256x144:rate=25",
    "square": "testsrc2=size=200x200:rate=30",
    "odd": "testsrc2=size=143x255:rate=30",
    "sixty": "testsrc2=size=144x256:rate=60",
    "noise": "noise=alls=12:allf=t:all_seed=7",
}
H264 = "-c:v libx264 -preset veryfast -pix_fmt yuv420p"
H265 = "-c:v libx265 -preset ultrafast -tag:v hvc1 -x265-params log-level=none"
VP9 = "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -row-mt 0 -b:v 300k"
AV1 = "-c:v libsvtav1 -preset 12 -svtav1-params lp=1"

#: name -> ffmpeg arguments; the file is NAME.mp4 unless SUFFIXES says otherwise. Noise makes every
#: frame differ, so a wrong frame cannot pass. Without -c:v it is H.264.
RECIPES = {
    # One keyframe at the start, three B frames in a row that also serve as references.
    "long_group": "-i {moving} -t 4 -bf 3 -g 250 -b_strategy 0",
    # Short open groups: frames shown before a keyframe follow it in the file.
    "open_groups": "-i {moving} -t 4 -g 12 -bf 2 -x264-params open-gop=1",
    "intra_refresh": "-i {moving} -t 3 -g 15 -x264-params intra-refresh=1",
    "no_b_frames": "-i {moving} -t 2 -bf 0 -g 24",
    "only_keyframes": "-i {moving} -t 1 -g 1",
    "one_frame": "-i {moving} -frames:v 1",
    "three_frames": "-i {moving} -frames:v 3",
    "landscape": "-i {wide} -t 2 -bf 2 -g 60",
    "square": "-i {square} -t 2 -bf 2 -g 60",
    "tiny": "-i testsrc2=size=16x16:rate=30 -t 1",
    "thin": "-i testsrc2=size=64x1024:rate=30 -t 1",
    "odd_sides": "-i {odd} -t 2 -pix_fmt yuv444p -c:v libx264",
    "variable_rate": "-i {moving} -t 3 -vf '{noise},select=mod(n\\,3)' -fps_mode vfr -bf 2",
    # Pictures that stand for seconds between some that stand for a thirtieth of one.
    "slides": "-i {moving} -t 8 -vf '{noise},select=lt(mod(n\\,60)\\,2)' -fps_mode vfr -bf 2",
    "sixty_a_second": "-i {sixty} -t 2 -bf 3 -g 60",
    "two_a_second": "-i {moving} -t 6 -r 2 -bf 2",
    "anamorphic": "-i {moving} -t 1 -vf '{noise},setsar=4/3'",
    "full_range": "-i {moving} -t 1 -vf '{noise},scale=out_range=full' -color_range pc",
    "interlaced": "-i {moving} -t 2 -flags +ildct+ilme -x264-params tff=1 -bf 2",
    "grey": "-i {moving} -t 1 -pix_fmt gray -c:v libx264",
    "ten_bit": "-i {moving} -t 2 -pix_fmt yuv420p10le -c:v libx264 -preset veryfast -bf 2",
    "with_sound": "-i {moving} -f lavfi -i sine=d=2 -t 2 -c:a aac -bf 2",
    "hevc": f"-i {{moving}} -t 2 {H265}:open-gop=0:keyint=24:bframes=3 -pix_fmt yuv420p",
    "hevc_open_groups": f"-i {{moving}} -t 3 {H265}:open-gop=1:keyint=15:bframes=3",
    "hevc_ten_bit": f"-i {{moving}} -t 1 {H265} -pix_fmt yuv420p10le",
    "vp9_in_mp4": f"-i {{moving}} -t 2 {VP9} -g 30",
    # Frames that are never shown (alternative references) need the two-pass defaults.
    "vp9_hidden_frames": (
        "-i {moving} -t 2 -c:v libvpx-vp9 -b:v 200k -auto-alt-ref 1 -lag-in-frames 16 -cpu-used 5"
    ),
    "vp9_odd_sides": f"-i {{odd}} -t 1 {VP9} -pix_fmt yuv420p",
    "webm": f"-i {{moving}} -t 2 {VP9} -g 30",
    "vp8_in_webm": "-i {moving} -t 2 -c:v libvpx -cpu-used 8 -deadline realtime -b:v 300k",
    "av1": f"-i {{moving}} -t 2 {AV1} -g 30 -pix_fmt yuv420p",
    "av1_ten_bit": f"-i {{moving}} -t 1 {AV1} -pix_fmt yuv420p10le",
    "av1_of_libaom": "-i {moving} -frames:v 24 -c:v libaom-av1 -cpu-used 8 -usage realtime -g 12",
    "old_codec": "-i {moving} -t 2 -c:v mpeg4 -bf 2 -g 40",
    # Two frames in one packet, and a container that notes no time to show them at.
    "avi_packed": "-i {moving} -t 2 -c:v libxvid -bf 2 -g 40",
    "motion_jpeg": "-i {moving} -t 1 -c:v mjpeg -pix_fmt yuvj420p",
    "transport_stream": f"-i {{moving}} -t 2 {H264} -bf 2 -g 24",
    "matroska": f"-i {{moving}} -t 2 {H264} -bf 3",
    "flash_video": f"-i {{moving}} -t 2 {H264} -bf 2",
    "windows_media": "-i {moving} -t 2 -c:v wmv2",
    "theora": "-i {moving} -t 1 -c:v libtheora",
    "fragmented": f"-i {{moving}} -t 3 {H264} -g 30 -bf 2 -movflags +frag_keyframe+empty_moov",
    "sound_only": "-i sine=d=1 -vn -c:a aac",
}

SUFFIXES = {
    "webm": "webm",
    "vp8_in_webm": "webm",
    "avi_packed": "avi",
    "motion_jpeg": "avi",
    "transport_stream": "ts",
    "matroska": "mkv",
    "flash_video": "flv",
    "windows_media": "wmv",
    "theora": "ogv",
    "truncated_webm": "webm",
    "truncated_stream": "ts",
    "changing_size": "ts",
}


def ffmpeg(*arguments: str) -> None:
    """Run ffmpeg, quietly."""
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", *arguments], check=True)


def make_media(name: str, folder: Path) -> Path:
    """Make one of RECIPES or DERIVED in the folder, once."""
    path = folder / f"{name}.{SUFFIXES.get(name, 'mp4')}"
    if path.exists():
        return path
    if name in DERIVED:
        DERIVED[name](folder, path)
        return path
    arguments = shlex.split(RECIPES[name].format(**SOURCES))
    if "-vn" not in arguments and "-vf" not in arguments:
        arguments += ["-vf", SOURCES["noise"]]
    if "-vn" not in arguments and "-c:v" not in arguments:
        arguments += shlex.split(H264)
    ffmpeg("-f", "lavfi", *arguments, "-threads", "1", str(path))
    return path


def _copied(
    source: str, *arguments: str, before: tuple[str, ...] = ()
) -> Callable[[Path, Path], None]:
    """Recipe that writes another file's packets anew, with arguments before and after -i."""

    def make(folder: Path, path: Path) -> None:
        whole = str(make_media(source, folder))
        ffmpeg(*before, "-i", whole, "-c", "copy", *arguments, str(path))

    return make


def _cut(source: str, share: float) -> Callable[[Path, Path], None]:
    """Recipe that keeps the first bytes of another file."""

    def make(folder: Path, path: Path) -> None:
        content = make_media(source, folder).read_bytes()
        path.write_bytes(content[: int(len(content) * share)])

    return make


def _overwritten(source: str, start: float, stop: float) -> Callable[[Path, Path], None]:
    """Recipe that puts zeros over a part of another file."""

    def make(folder: Path, path: Path) -> None:
        content = bytearray(make_media(source, folder).read_bytes())
        first, last = int(len(content) * start), int(len(content) * stop)
        content[first:last] = bytes(last - first)
        path.write_bytes(content)

    return make


def _written(content: bytes) -> Callable[[Path, Path], None]:
    def make(_folder: Path, path: Path) -> None:
        path.write_bytes(content)

    return make


def _renamed_codec(folder: Path, path: Path) -> None:
    path.write_bytes(make_media("no_b_frames", folder).read_bytes().replace(b"avc1", b"zzzz"))


def _with_cover(folder: Path, path: Path) -> None:
    cover = folder / "cover.png"
    ffmpeg("-f", "lavfi", "-i", "color=red:size=64x64", "-frames:v", "1", str(cover))
    whole = str(make_media("no_b_frames", folder))
    maps = ["-map", "1", "-map", "0", "-c", "copy", "-disposition:v:0", "attached_pic"]
    ffmpeg("-i", whole, "-i", str(cover), *maps, str(path))


def _cover_only(folder: Path, path: Path) -> None:
    cover = folder / "only_cover.png"
    ffmpeg("-f", "lavfi", "-i", "color=red:size=64x64", "-frames:v", "1", str(cover))
    sound = str(make_media("sound_only", folder))
    maps = ["-map", "0", "-map", "1", "-c", "copy", "-disposition:v:0", "attached_pic"]
    ffmpeg("-i", sound, "-i", str(cover), *maps, str(path))


def _joined(*names: str) -> Callable[[Path, Path], None]:
    """Recipe that writes transport streams of other files one behind the other."""

    def make(folder: Path, path: Path) -> None:
        parts = []
        for name in names:
            part = folder / f"{name}_part.ts"
            ffmpeg("-i", str(make_media(name, folder)), "-c", "copy", str(part))
            parts.append(part.read_bytes())
        path.write_bytes(b"".join(parts))

    return make


def _late_pictures(folder: Path, path: Path) -> None:
    whole = str(make_media("no_b_frames", folder))
    sound = str(make_media("sound_only", folder))
    ffmpeg("-i", sound, "-itsoffset", "0.8", "-i", whole, "-c", "copy", str(path))


def _picture(folder: Path, path: Path) -> None:
    still = folder / "still.jpg"
    ffmpeg("-f", "lavfi", "-i", "color=blue:size=64x64", "-frames:v", "1", str(still))
    path.write_bytes(still.read_bytes())


def _turned(source: str, turn: int) -> Callable[[Path, Path], None]:
    return _copied(source, "-metadata:s:v", f"rotate={turn}")


_KEY = "000102030405060708090a0b0c0d0e0f"
_ENCRYPTION = (
    "-encryption_scheme",
    "cenc-aes-ctr",
    "-encryption_key",
    _KEY,
    "-encryption_kid",
    _KEY,
)

#: Files made from those of RECIPES.
DERIVED: dict[str, Callable[[Path, Path], None]] = {
    "sideways": _turned("landscape", 90),
    "upside_down": _turned("landscape", 180),
    "sideways_other": _turned("landscape", 270),
    # Starting between keyframes makes an edit list: the packets before it are decoded unseen.
    "cut_at_both_ends": _copied("open_groups", before=("-ss", "1.13")),
    "fast_start": _copied("long_group", "-movflags", "+faststart"),
    "ten_minutes": _copied("long_group", before=("-stream_loop", "149")),
    "misnamed": _copied("webm", "-f", "webm"),
    "with_cover": _with_cover,
    "late_pictures": _late_pictures,
    "changing_size": _joined("landscape", "no_b_frames"),
    "truncated": _cut("fast_start", 0.6),
    "truncated_fragments": _cut("fragmented", 0.5),
    "truncated_webm": _cut("webm", 0.5),
    "truncated_stream": _cut("transport_stream", 0.5),
    "damaged": _overwritten("long_group", 0.45, 0.55),
    "damaged_groups": _overwritten("open_groups", 0.45, 0.55),
    "damaged_hevc": _overwritten("hevc", 0.45, 0.55),
    "damaged_av1": _overwritten("av1", 0.45, 0.55),
    "encrypted": _copied("no_b_frames", *_ENCRYPTION),
    "without_header": _cut("long_group", 0.6),
    "empty": _written(b""),
    "page": _written(b"<html>Access Denied</html>"),
    "first_box_only": _written(b"\0\0\0\x18ftypisom"),
    "zeros": _written(bytes(4096)),
    "text": _written(b"1\n00:00:00,000 --> 00:00:01,000\nno pictures here\n" * 20),
    "picture": _picture,
    "unknown_codec": _renamed_codec,
    "cover_only": _cover_only,
}
