"""The documents: what is generated is current; commands, links and settings in them exist."""

import json
import re
from pathlib import Path

import pytest

from catalog.schema.schema_check import newest_views
from catalog.schema.session import migrations_folder
from catalog.settings import leaves, settings_class
from cli import sections
from docs import make_schema
from tests import test_readme

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted((ROOT / "docs").rglob("*.md"))
# Behind a path, a prompt or `cd … &&` too, as unit files and crontabs have it.
CALL = re.compile(r"(?:^|[\s/=])viewcast (?!&&)(.+)$")
END_OF_CALL = re.compile(r"\s+(?:#|\||>{1,2}|&&|2>&1)")


def code_blocks(page: Path) -> list[str]:
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    shown = re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [block for language, block in shown if language in ("", "sh", "ini")]


def calls() -> list[tuple[str, str]]:
    """Every viewcast call in the documents' code blocks, by page."""
    found = []
    for page in PAGES:
        for line in "\n".join(code_blocks(page)).splitlines():
            call = None if line.startswith("Description=") else CALL.search(line)
            if call:
                found.append((page.name, END_OF_CALL.split(call[1])[0].strip()))
    return found


def test_the_schema_page_is_what_the_generator_gives_now() -> None:
    assert make_schema.SCHEMA_PAGE.read_text(encoding="utf-8") == make_schema.schema_page(), (
        "run: python docs/make_schema.py"
    )


def test_the_readme_lists_the_commands_as_they_are() -> None:
    text = make_schema.README.read_text(encoding="utf-8")

    assert make_schema.commands_table() in text, "run: python docs/make_schema.py"
    assert make_schema.readme_page(text) == text


@pytest.mark.parametrize(
    ("page", "listed"),
    [
        ("README.md", r"reporting views are part of the schema:(.*?);"),
        ("docs/operations.md", r"GRANT SELECT ON alembic_version,(.*?) TO viewcast_report;"),
    ],
)
def test_every_reporting_view_is_listed(page: str, listed: str) -> None:
    found = re.search(listed, (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    views = newest_views(migrations_folder() / "views")

    assert found is not None
    assert sorted(re.findall(r"\bv_\w+", found[1])) == sorted(views)


def test_there_are_calls_to_check() -> None:
    assert {page for page, _call in calls()} >= {"operations.md", "paper.md", "data.md"}


@pytest.mark.parametrize(("page", "call"), calls(), ids=lambda value: value[:60])
def test_a_call_in_the_documents_is_accepted_by_its_command(page: str, call: str) -> None:
    test_readme.test_a_call_in_the_readme_is_accepted_by_its_command(call)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_document_links_to_exist(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))

    assert [link for link in links if not (page.parent / link).exists()] == []


def test_operations_lists_every_setting_with_its_default() -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `([\w.]+)` \| `?([^`|]*?)`?\s*\| ", text, re.MULTILINE))
    defaults = {leaf: _as_set(value) for leaf, value in _defaults()}

    assert {name: listed.get(name) for name in defaults} == defaults


def _as_set(value: object) -> str:
    """A default as one would write it: a list as the environment wants it, in JSON."""
    if isinstance(value, tuple):
        return json.dumps(value, separators=(",", ":"))
    return "" if value is None else str(value)


def _defaults() -> list[tuple[str, object]]:
    defaults = settings_class(sections()).model_construct().model_dump()
    return list(leaves(defaults))
