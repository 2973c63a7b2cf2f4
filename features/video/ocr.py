"""The `ocr` feature: the text on screen at a few moments, by the PP-OCRv6 networks of rapidocr.

The networks lie in rapidocr's own package and are given to it by their names, so that it never
looks for others, nor downloads any. They read Chinese, Japanese and languages in Latin letters.
"""

import importlib.util
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from catalog.files import sha256_of
from features.errors import FeatureError, WeightsMismatch, WeightsMissing
from features.extractor import Extracted, FeatureSetSpec, Source
from features.media import media_of
from features.settings import OcrConfig, SamplingConfig
from features.video.clip import fit_size
from features.video.picture import Picture
from features.video.reading import Clip, PictureRequest

EXTRACTOR: Final = "rapidocr"
#: Raised whenever the same file and settings would give another text or other numbers.
EXTRACTOR_VERSION: Final = "1"
#: The two networks in rapidocr's package, by what it calls their work.
NETWORKS: Final = {"Det": "PP-OCRv6_det_small.onnx", "Rec": "PP-OCRv6_rec_small.onnx"}
#: Of both files, one after the other.
NETWORKS_SHA256: Final = "da2d61aa80aff563071941ca315543dce599e2c08f3a40ffb23c4ee7b5c60159"
#: The longer side at which text is looked for; what is found is read from the whole picture. At
#: 960 three more of 192 lines are read, for half as much time again (docs/benchmarks.md).
DETECT_PX: Final = 640
#: What a row's tensor says of each moment, in this order.
COLUMNS: Final = ("n_lines", "share", "mean_score")


def spec(config: OcrConfig) -> FeatureSetSpec:
    """Name the feature set, whether or not rapidocr is there."""
    settings = asdict(config) | {"detect_px": DETECT_PX}
    return FeatureSetSpec("ocr", settings, EXTRACTOR, EXTRACTOR_VERSION, NETWORKS_SHA256)


def check(_config: OcrConfig) -> None:
    """Raise WeightsMissing or WeightsMismatch where the networks are not here; loads nothing."""
    for name in ("rapidocr", "onnxruntime"):
        if importlib.util.find_spec(name) is None:
            raise WeightsMissing(f"{name} is not installed: pip install 'viewcast[ocr]'")
    files = [_file(network) for network in NETWORKS]
    if missing := [file for file in files if not file.is_file()]:
        raise WeightsMissing(f"no network {missing[0]}: pip install 'viewcast[ocr]'")
    if (found := sha256_of(*files)) != NETWORKS_SHA256:
        raise WeightsMismatch(
            f"the networks in {files[0].parent} have sha256 {found}, not {NETWORKS_SHA256}: "
            "another rapidocr; pip install 'viewcast[ocr]'"
        )


def build(config: OcrConfig) -> "OcrExtractor":
    """Load the networks. Raises WeightsMissing, WeightsMismatch."""
    return OcrExtractor(config)


def _file(network: str) -> Path:
    found = importlib.util.find_spec("rapidocr")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "models" / NETWORKS[network]


@dataclass(frozen=True)
class Line:
    """A line of text. box: left, top, right, bottom, as shares of the picture."""

    text: str
    score: float
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Screen:
    """What one picture shows. share: of its area, under the lines. n_unsure: lines left out."""

    lines: tuple[Line, ...]
    share: float
    n_unsure: int

    @property
    def row(self) -> tuple[float, float, float]:
        """The picture's numbers, as COLUMNS names them; a mean of no scores is 0."""
        scores = [line.score for line in self.lines]
        return len(scores), self.share, sum(scores) / max(len(scores), 1)


class OcrExtractor:
    """Reads the text on screen, picture by picture, so that no row depends on another.

    Tensors of a row: moments (M, 3) float32: for each moment of the settings, how many lines are on
    screen, which share of the picture they take up, and how sure the reader is of them on average.
    """

    sound = None

    def __init__(self, config: OcrConfig) -> None:
        """Load the networks. Raises WeightsMissing, WeightsMismatch."""
        self.config = config
        self.reader = Reader(config.min_score)
        sampling = SamplingConfig(sampling="moments", moments=config.moments)
        self.pictures = PictureRequest(sampling, self._fit)

    def __call__(self, sources: Sequence[Source]) -> list[Extracted | FeatureError]:
        """Read each file's pictures; one that cannot be read costs its own row."""
        return [self._one(source) for source in sources]

    def _one(self, source: Source) -> Extracted | FeatureError:
        try:
            clip = media_of(source, self).clip(self.pictures)
        except FeatureError as error:
            return error
        # A short video gives a frame for several moments; it is read once.
        screens: dict[int, Screen] = {}
        for column, index in enumerate(clip.indices):
            if index not in screens:
                screens[index] = self.reader(_unpack(clip.frames[:, column]))
        rows = [screens[index].row for index in clip.indices]
        return Extracted({"moments": np.array(rows, np.float32)}, _detail(clip, screens))

    def _fit(self, picture: Picture) -> NDArray[np.uint8]:
        """Size a frame; into a corner, for a file may change its size, with a mask beside RGB."""
        shown = picture.shown.height_px, picture.shown.width_px
        side = self.config.longest_px
        rows, columns = shown if max(shown) <= side else fit_size(*shown, side, side)
        packed = np.zeros((4, side, side), np.uint8)
        packed[:3, :rows, :columns] = picture.rgb(rows, columns)
        packed[3, :rows, :columns] = 1
        return packed


def _unpack(packed: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Cut the picture out of what `_fit` made of it: (4, S, S) to (h, w, 3) RGB."""
    rows, columns = np.count_nonzero(packed[3, :, 0]), np.count_nonzero(packed[3, 0])
    return np.ascontiguousarray(packed[:3, :rows, :columns].transpose(1, 2, 0))


class Reader:
    """Reads the lines of one picture at a time, in one thread, the same whatever came before."""

    def __init__(self, min_score: float) -> None:
        """Load the networks. Raises WeightsMissing, WeightsMismatch."""
        check(OcrConfig())
        import cv2  # noqa: PLC0415 (of the extra, and absent without it)
        from rapidocr import RapidOCR  # noqa: PLC0415 (as above)

        cv2.setNumThreads(1)
        self.min_score = min_score
        self._fill = cv2.fillPoly
        engine = "EngineConfig.onnxruntime"
        self._read = RapidOCR(
            params={
                **{f"{network}.model_path": str(_file(network)) for network in NETWORKS},
                "Global.log_level": "critical",
                "Global.use_cls": False,  # turns lines that stand on their heads
                "Global.text_score": 0.0,  # so that the lines left out are counted
                "Global.max_side_len": 4096,  # the pictures are sized here
                "Det.limit_type": "max",
                "Det.limit_side_len": DETECT_PX,
                f"{engine}.intra_op_num_threads": 1,
                f"{engine}.inter_op_num_threads": 1,
            }
        )

    def __call__(self, picture: NDArray[np.uint8]) -> Screen:
        """Read a picture: (h, w, 3) uint8 RGB; lines from the top, then from the left."""
        height, width = picture.shape[:2]
        found = self._read(picture[:, :, ::-1].copy())  # it is used to OpenCV's order of colours
        if found.boxes is None or found.txts is None:
            return Screen((), 0.0, 0)
        covered = np.zeros((height, width), np.uint8)
        lines = []
        for quad, text, score in zip(found.boxes, found.txts, found.scores, strict=True):
            if score < self.min_score:
                continue
            self._fill(covered, [np.rint(quad).astype(np.int32)], 1)
            (left, top), (right, bottom) = quad.min(0), quad.max(0)
            box = (
                round(float(left) / width, 4),
                round(float(top) / height, 4),
                round(float(right) / width, 4),
                round(float(bottom) / height, 4),
            )
            lines.append(Line(text.strip(), round(float(score), 4), box))
        share = round(float(covered.mean()), 5)
        return Screen(tuple(lines), share, len(found.txts) - len(lines))


def _detail(clip: Clip, screens: dict[int, Screen]) -> dict[str, Any]:
    at_s = {
        index: round(seconds, 3) for index, seconds in zip(clip.indices, clip.times_s, strict=True)
    }
    in_order = [(at_s[index], screens[index]) for index in sorted(screens)]
    first: dict[str, dict[str, Any]] = {}
    for seconds, screen in in_order:
        for line in screen.lines:
            first.setdefault(_plain(line.text), {"at_s": seconds, **asdict(line)})
    lines = list(first.values())
    return {
        "text": "\n".join(line["text"] for line in lines),
        "n_lines": len(lines),
        "n_unsure": sum(screen.n_unsure for _, screen in in_order),
        "share": max(screen.share for _, screen in in_order),
        "first_text_s": lines[0]["at_s"] if lines else None,
        "lines": lines,
        "moments": [
            {"at_s": seconds, "n_lines": len(screen.lines), "share": screen.share}
            for seconds, screen in in_order
        ],
        "duration_s": round(clip.duration_s, 3),
        "truncated": clip.truncated,
        "fraction_read": round(clip.fraction_read, 4),
        "n_errors": clip.n_errors,
    }


def _plain(text: str) -> str:
    """What makes two readings of a line the same: its letters and digits."""
    return "".join(letter for letter in text.casefold() if letter.isalnum()) or text
