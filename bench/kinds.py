"""What each kind of feature costs: CPU seconds for a video of 15 s, alone and all in one pass.

Four files, 720x1280 and 1080x1920 at 30 frames a second, as sites serve them (H.264, 2 and 4 Mb/s,
AAC), with speech. The network of each kind is loaded before, by a file that is not counted; what
child processes (ffmpeg) spend is. One thread. A kind whose weights or package are not on the
machine is left out. `frames` has random weights, which cost the same.
"""

import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.measure import REPEATS, ROOT, Row
from features.errors import FeatureError
from features.extractor import Extractor, Source
from features.kinds import KINDS
from features.media import extract_kinds
from features.settings import FramesConfig, KindConfig

DURATION_S = 15
SIZES = {"720x1280": "2M", "1080x1920": "4M"}
SPEECH = ROOT / "scraper" / "replica" / "speech"
ALL = "all"


def rows() -> list[Row]:
    """Measure each kind alone in a process of its own, then all of them together in one."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        kinds = [kind for kind in KINDS if _is_here(kind)]
        for size, rate in SIZES.items():
            files = [_made(Path(folder), size, rate, n) for n in (1, 2)]
            costs = {kind: _cost(kind, files) for kind in (*kinds, ALL)}
            together, alone = costs.pop(ALL), sum(costs.values())
            found += [
                Row(f"`{kind}` of {DURATION_S} s, {size}", f"{cost:.2f} CPU s", "", "")
                for kind, cost in costs.items()
            ]
            found.append(
                Row(
                    f"all of these in one pass, {size}",
                    f"{together:.2f} CPU s",
                    f"one by one {alone:.2f} CPU s",
                    f"{alone / together:.2f}",
                )
            )
    return found


def config_of(kind: str) -> KindConfig:
    """The defaults, but for weights that would have to be fetched."""
    return FramesConfig(weights="random:0") if kind == "frames" else KINDS[kind].config()


def _is_here(kind: str) -> bool:
    try:
        KINDS[kind].load().check(config_of(kind))
    except FeatureError as error:
        sys.stderr.write(f"{kind} is left out: {error}\n")
        return False
    return True


def _made(folder: Path, size: str, rate: str, seed: int) -> Path:
    path = folder / f"{size}-{seed}.mp4"
    speech = sorted(SPEECH.glob("*.flac"))[seed]
    picture = f"testsrc2=size={size}:rate=30,noise=alls=8:allf=t:all_seed={seed}"
    command = f"ffmpeg -nostdin -v error -f lavfi -i {picture} -stream_loop -1 -i {speech}"
    command += f" -t {DURATION_S} -c:v libx264 -preset veryfast -b:v {rate} -pix_fmt yuv420p"
    subprocess.run([*command.split(), "-threads", "1", "-c:a", "aac", str(path)], check=True)
    return path


def _cost(kind: str, files: Sequence[Path]) -> float:
    """CPU seconds a file: the median of the repeats."""
    command = [sys.executable, "-m", "bench.kinds", kind, *map(str, files)]
    return statistics.median(
        float(subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout)
        for _ in range(REPEATS)
    )


def measure(kinds: Sequence[str], files: Sequence[str]) -> float:
    """CPU seconds a file, after one that is not counted."""
    extractors: Mapping[str, Extractor] = {
        kind: KINDS[kind].load().build(config_of(kind)) for kind in kinds
    }
    sources = [Source(n, str(n), path=path) for n, path in enumerate(files)]
    _extract(extractors, sources[:1])
    start_s = _cpu_s()
    _extract(extractors, sources)
    return (_cpu_s() - start_s) / len(sources)


def _extract(extractors: Mapping[str, Extractor], sources: Sequence[Source]) -> None:
    for made in extract_kinds(extractors, sources):
        for one in made.values():
            if isinstance(one.result, FeatureError):
                raise one.result


def _cpu_s() -> float:
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in spent)


if __name__ == "__main__":
    chosen = [kind for kind in KINDS if _is_here(kind)] if sys.argv[1] == ALL else [sys.argv[1]]
    sys.stdout.write(f"{measure(chosen, sys.argv[2:]):.4f}")
