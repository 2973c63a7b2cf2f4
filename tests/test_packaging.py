"""The wheel: complete, ours alone, and working outside the checkout."""

import importlib.metadata
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TEMPLATES = ROOT / "catalog" / "web" / "templates"
OURS = ("catalog", "cli", "features", "model", "scraper")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy, so that no build folder is left in the checkout."""
    source = tmp_path_factory.mktemp("source")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            copy = source / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes((ROOT / name).read_bytes())
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
         "--disable-pip-version-check", "--wheel-dir", folder, source],
        check=True,
    )  # fmt: skip
    return next(folder.glob("viewcast-*.whl"))


def test_the_wheel_holds_what_is_no_code_but_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()

    assert "catalog/migrations/env.py" in names
    assert "catalog/migrations/versions/0001_tables.py" in names
    assert "catalog/migrations/views/0001/v_video.sql" in names
    assert "catalog/migrations/views/0002/postgresql/v_view_growth.sql" in names
    assert "catalog/migrations/views/0003/search/sqlite/transcript_search.sql" in names
    assert any(name.startswith("scraper/replica/speech/") for name in names)
    assert "model/experiment/public/vine_10k.toml" in names
    templates = {f"catalog/web/templates/{path.name}" for path in TEMPLATES.iterdir()}
    assert "catalog/web/templates/report.html" in templates
    assert templates <= set(names)
    assert not [name for name in names if name.startswith(("tests", "bench", "docs"))]


def test_the_installed_wheel_makes_a_catalog_and_its_report_in_another_folder(
    wheel: Path, tmp_path: Path
) -> None:
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index",
         "--disable-pip-version-check", "--target", site, wheel],
        check=True,
    )  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(site)}

    def run(*arguments: str) -> str:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=elsewhere, env=environment, check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip

    assert run("-c", "import cli; print(cli.__file__)").startswith(str(site))
    run("-m", "cli", "db", "upgrade")
    assert '"differences": []' in run("-m", "cli", "db", "check", "--json")
    assert (elsewhere / "data" / "catalog.db").is_file()
    run("-m", "cli", "report", "-o", "page.html")
    page = (elsewhere / "page.html").read_text(encoding="utf-8")
    assert "<h2>Models beside the constants</h2>" in page
    assert page.endswith("</html>\n")


def test_nobody_else_ships_a_package_of_our_names() -> None:
    owners = importlib.metadata.packages_distributions()

    assert {name: set(owners.get(name, ["viewcast"])) for name in OURS} == {
        name: {"viewcast"} for name in OURS
    }


def test_no_index_address_stands_in_the_pins() -> None:
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()

    assert pins
    assert [pin for pin in pins if "==" not in pin or "/" in pin or "@" in pin] == []
