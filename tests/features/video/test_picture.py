"""Pictures as a person sees them: upright, with square pixels, in ordinary light, exact means."""

import struct
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from bench.exact import area_mean, exact_picture, exact_rgb, psnr_db
from features.one_video import probe
from features.settings import ClipConfig
from features.video.clip import fit_picture, read_clip
from features.video.picture import Picture, hdr_of, tone_map
from tests.features.media import ffmpeg, make_media

pytestmark = pytest.mark.ffmpeg

TAGS = ("colorspace", "color_primaries", "color_trc")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pictures")


def first_frame(path: Path) -> av.VideoFrame:
    with av.open(str(path)) as container:
        return next(container.decode(container.streams.video[0]))


def played(path: Path, height: int, width: int, filters: str = "null") -> NDArray[np.uint8]:
    """Give the first frame as ffmpeg's own program shows it."""
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-frames:v", "1", "-vf", filters]
    command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, check=True, capture_output=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(height, width, 3).transpose(2, 0, 1)


#: a, b, c, d of the display matrix -> degrees counter-clockwise, mirrored first.
LYING = {
    (1, 0, 0, 1): (0, False),
    (0, -1, 1, 0): (90, False),
    (-1, 0, 0, -1): (180, False),
    (0, 1, -1, 0): (270, False),
    (-1, 0, 0, 1): (0, True),
    (0, 1, 1, 0): (90, True),
    (1, 0, 0, -1): (180, True),
    (0, -1, -1, 0): (270, True),
}


@pytest.mark.parametrize("matrix", LYING)
def test_a_picture_lies_as_ffmpeg_and_players_show_it(folder, matrix):
    whole = make_media("landscape", folder).read_bytes()
    a, b, c, d = (value << 16 for value in matrix)
    place = whole.index(b"tkhd") + 44
    written = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path = folder / f"lying_{'_'.join(map(str, matrix))}.mp4"
    path.write_bytes(whole[:place] + written + whole[place + 36 :])
    picture = Picture(first_frame(path))
    shown = picture.shown
    assert (shown.rotation_deg, shown.mirrored) == LYING[matrix]
    theirs = area_mean(played(path, shown.height_px, shown.width_px), 16, 16)
    assert psnr_db(picture.rgb(16, 16).astype(float), theirs) > 35
    clip = read_clip(path, ClipConfig(height_px=64, width_px=64))
    assert clip.shown == shown


def test_wide_pixels_are_shown_as_wide_as_they_are(folder):
    size = "scale=144:512,setsar={},format=yuv420p"
    source = ("-f", "lavfi", "-i", "testsrc2=size=288x512:rate=5", "-t", "1")
    square, wide, high = (folder / f"{name}.mp4" for name in ("square", "wide", "high"))
    ffmpeg(*source, "-c:v", "libx264", "-pix_fmt", "yuv420p", str(square))
    ffmpeg(*source, "-vf", size.format("2/1"), "-c:v", "libx264", str(wide))
    ffmpeg(*source, "-vf", "scale=288:256,setsar=1/2", "-c:v", "libx264", str(high))
    expected = read_clip(square, ClipConfig())
    for path in (wide, high):
        clip = read_clip(path, ClipConfig())
        assert (clip.shown.height_px, clip.shown.width_px) == (512, 288)
        looked_at = probe(path)
        assert (looked_at.height_px, looked_at.width_px) == (512, 288)
        assert np.abs(clip.frames.astype(int) - expected.frames).mean() < 4


def test_a_pixel_aspect_that_cannot_be_meant_is_not_followed(folder):
    path = folder / "absurd.mp4"
    source = ("-f", "lavfi", "-i", "testsrc2=size=144x256:rate=5", "-t", "1")
    ffmpeg(*source, "-vf", "setsar=1/1000", "-c:v", "libx264", str(path))
    assert read_clip(path, ClipConfig()).shown.height_px == 256


LOSSLESS = ("-c:v", "libx264", "-qp", "0", "-preset", "ultrafast")
FORMATS = {
    "bt601": ("bt601", "limited", "yuv420p", "smpte170m"),
    "bt601_full": ("bt601", "full", "yuv420p", "smpte170m"),
    "bt709": ("bt709", "limited", "yuv420p", "bt709"),
    "bt709_full": ("bt709", "full", "yuv420p", "bt709"),
    "bt2020": ("bt2020", "limited", "yuv420p10le", "bt2020nc"),
    "bt2020_full": ("bt2020", "full", "yuv420p10le", "bt2020nc"),
    "every_pixel": ("bt709", "limited", "yuv444p", "bt709"),
}
STRIPES = "drawgrid=width=64:height=2048:thickness=32:color=blue:replace=1"
PATTERNS = {
    "moving": "testsrc2=size=576x1024:rate=5,noise=alls=8:allf=t:all_seed=7",
    "odd": "testsrc2=size=571x1019:rate=5,noise=alls=8:allf=t:all_seed=7",
    "gradients": "gradients=size=576x1024:rate=5:seed=3",
    "stripes": f"color=red:size=576x1024:rate=5,{STRIPES}",
}


@pytest.mark.parametrize("colours", FORMATS)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_small_picture_is_the_exact_mean_of_what_it_covers(folder, pattern, colours):
    matrix, span, layout, tag = FORMATS[colours]
    if pattern == "odd" and layout != "yuv444p":
        pytest.skip("halved colours of odd sides are only made with even ones")
    # Where colours are sited is a fact of H.264, and "left"; FFV1 says nothing of it.
    path = folder / f"{pattern}_{colours}.mp4"
    filters = f"scale=out_color_matrix={matrix}:out_range={span},format={layout}"
    arguments = ("-frames:v", "1", "-vf", filters, *LOSSLESS, "-colorspace", tag)
    spans = {"limited": "tv", "full": "pc"}
    source = ("-f", "lavfi", "-i", PATTERNS[pattern])
    ffmpeg(*source, *arguments, "-color_range", spans[span], str(path))
    frame = first_frame(path)
    for size in ((32, 18), (128, 72), (224, 126)):
        ours, exact = Picture(frame).rgb(*size).astype(float), exact_picture(frame, *size)
        # Where pure colours meet, halved colour gives some that cannot be shown; the scaler cuts
        # their mean, not each.
        assert psnr_db(ours, exact) > (31 if pattern in ("moving", "stripes") else 48)
        assert abs((ours - exact).mean()) < 0.7
    whole = Picture(frame).rgb(frame.height, frame.width).astype(float)
    assert psnr_db(whole, exact_rgb(frame)) > 50


def test_stripes_as_wide_as_a_pixel_keep_their_colours(folder):
    path = folder / "pure.mp4"
    source = ("-f", "lavfi", "-i", PATTERNS["stripes"])
    ffmpeg(*source, "-frames:v", "1", "-vf", "format=yuv420p", *LOSSLESS, str(path))
    row = fit_picture(Picture(first_frame(path)), 32, 18, "area")[:, 16].T.astype(int)
    red, blue = np.array([255, 0, 0]), np.array([0, 0, 255])
    near = np.minimum(np.abs(row - red).max(axis=1), np.abs(row - blue).max(axis=1))
    assert near.max() <= 6


ZSCALE = (
    "zscale"
    in subprocess.run(
        ["ffmpeg", "-v", "quiet", "-filters"], check=False, capture_output=True, text=True
    ).stdout
)
TO_HDR = (
    "format=gbrp,zscale=tin=bt709:pin=bt709:min=gbr:rin=full:"
    "t={}:p=bt2020:m=bt2020nc:r=limited:npl=100,format=yuv444p10le"
)
TO_SDR = (
    "zscale=t=linear:npl=100,format=gbrpf32le,zscale=p=bt709,"
    "tonemap=mobius:param=0.7:peak=10:desat=0,zscale=t=bt709:m=gbr:r=full,format=gbrp"
)


@pytest.mark.skipif(not ZSCALE, reason="this ffmpeg has no zscale to compare with")
@pytest.mark.parametrize(("hdr", "trc"), [("pq", "smpte2084"), ("hlg", "arib-std-b67")])
def test_hdr_is_tone_mapped_as_zscale_and_tonemap_do(folder, hdr, trc):
    path = folder / f"{hdr}.mkv"
    tags = ("-color_primaries", "bt2020", "-color_trc", trc, "-colorspace", "bt2020nc")
    source = ("-f", "lavfi", "-i", "testsrc2=size=288x512:rate=5", "-frames:v", "1")
    ffmpeg(*source, "-vf", TO_HDR.format(trc), "-c:v", "ffv1", *tags, str(path))
    picture = Picture(first_frame(path))
    assert picture.shown.hdr == hdr
    apart = np.abs(picture.rgb(512, 288).astype(int) - played(path, 512, 288, TO_SDR))
    assert apart.mean() < 1.5
    assert np.percentile(apart, 99) <= 10
    # Small ones too: the mean is of light that is no longer coded as HDR.
    exact = played(path, 512, 288, TO_SDR).reshape(3, 32, 16, 18, 16).mean(axis=(2, 4))
    assert np.abs(picture.rgb(32, 18) - exact).mean() < 2


@pytest.mark.parametrize(("hdr", "white", "grey"), [("pq", 0.508, 0.3), ("hlg", 0.6205, 0.3)])
def test_ordinary_white_stays_nearly_white_and_red_stays_red(hdr, white, grey):
    codes = np.array([[[0, 0, 0], [grey] * 3, [white] * 3, [1, 1, 1]]]) * 65_535
    black, middle, bright, most = tone_map(np.rint(codes).astype(np.uint16), hdr)[0].astype(int)
    assert black.tolist() == [0, 0, 0]
    assert 40 < middle[0] < 140
    assert 230 <= bright.min() <= bright.max() <= 245
    assert most.tolist() == [255, 255, 255]


def test_ordinary_pictures_are_not_tone_mapped(folder):
    frame = first_frame(make_media("ten_bit", folder))
    assert Picture(frame).shown.hdr is None


@pytest.mark.parametrize(
    ("transfer", "side_data", "expected"),
    [
        (2, {"DOVI_METADATA": b""}, "dolby_vision"),
        (18, {"DOVI_METADATA": b""}, "hlg"),  # what phones film: any decoder shows it
        (1, {"DOVI_METADATA": b""}, None),
        (2, {}, None),
    ],
)
def test_dolby_vision_is_named_where_nothing_else_can_be_shown(transfer, side_data, expected):
    assert hdr_of(transfer, side_data) == expected


def test_a_picture_that_was_looked_at_is_freed_at_once(folder):
    alive = sys.getrefcount
    frame = first_frame(make_media("landscape", folder))
    held = alive(frame)
    assert Picture(frame).rgb(8, 8).any()
    # Large ones would pile up until Python's collector of rings comes by.
    assert alive(frame) == held
