"""Media files made by ffmpeg for the tests of this package, with their recipes."""

import shlex
import subprocess
from pathlib import Path

#: name -> ffmpeg arguments. Noise makes every frame differ, so a wrong frame cannot pass.
RECIPES = {
    # One keyframe at the start, three B frames in a row that also serve as references.
    "long_group": "-i {moving} -t 4 -bf 3 -g 250 -b_strategy 0",
    # Short open groups: frames shown before a keyframe follow it in the file.
    "open_groups": "-i {moving} -t 4 -g 12 -bf 2 -x264-params open-gop=1",
    "intra_refresh": "-i {moving} -t 3 -g 15 -x264-params intra-refresh=1",
    "no_b_frames": "-i {moving} -t 2 -bf 0 -g 24",
    "one_frame": "-i {moving} -frames:v 1",
    "landscape": "-i {wide} -t 2 -bf 2 -g 60",
    "variable_rate": "-i {moving} -t 3 -vf '{noise},select=mod(n\\,3)' -fps_mode vfr -bf 2",
    "old_codec": "-i {moving} -t 2 -c:v mpeg4 -bf 2 -g 40",
    "sound_only": "-i sine=d=1 -vn -c:a aac",
}

SOURCES = {
    "moving": "testsrc2=size=144x256:rate=30",
    "wide": "testsrc2=size=256x144:rate=25",
    "noise": "noise=alls=12:allf=t:all_seed=7",
}


def ffmpeg(*arguments: str) -> None:
    """Run ffmpeg, quietly."""
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", *arguments], check=True)


def make_media(name: str, folder: Path) -> Path:
    """Make one of RECIPES, or a derived one, in the folder."""
    path = folder / f"{name}.mp4"
    if path.exists():
        return path
    if name == "sideways":
        source = make_media("landscape", folder)
        ffmpeg("-i", str(source), "-c", "copy", "-metadata:s:v", "rotate=90", str(path))
    elif name == "cut_at_both_ends":
        # Starting between keyframes makes an edit list: the packets before it are decoded unseen.
        source = make_media("open_groups", folder)
        ffmpeg("-ss", "1.13", "-i", str(source), "-c", "copy", str(path))
    elif name == "truncated":
        source = make_media("long_group", folder)
        whole = folder / "fast_start.mp4"
        ffmpeg("-i", str(source), "-c", "copy", "-movflags", "+faststart", str(whole))
        path.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    else:
        arguments = shlex.split(RECIPES[name].format(**SOURCES))
        if "-vn" not in arguments and "-vf" not in arguments:
            arguments += ["-vf", SOURCES["noise"]]
        if "-vn" not in arguments and "-c:v" not in arguments:
            arguments += ["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p"]
        ffmpeg("-f", "lavfi", *arguments, str(path))
    return path
