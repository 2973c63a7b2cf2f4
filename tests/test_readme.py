"""The README: its commands exist, take those options, and every command is mentioned."""

import re
import shlex
from pathlib import Path

import click
import pytest

from cli import main
from tests.test_cli import all_commands

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CALL = re.compile(r"^(?:\$ )?(?:viewcast|python cli\.py) (.+)$", re.MULTILINE)


def calls() -> list[str]:
    """Every viewcast call in a code block of the README, comments and pipes cut off."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    joined = "\n".join(blocks).replace("\\\n", " ")
    return [re.split(r"\s+[#|>]\s*", call)[0] for call in CALL.findall(joined)]


@pytest.mark.parametrize("call", calls())
def test_a_call_in_the_readme_is_accepted_by_its_command(call: str) -> None:
    words = shlex.split(call)
    command: click.Command = main
    context = main.make_context("viewcast", words, resilient_parsing=True)
    rest = [*context._protected_args, *context.args]  # where Click keeps the sub-command's name
    while isinstance(command, click.Group):
        name, rest = rest[0], rest[1:]
        assert name in command.commands, f"no command {name!r}"
        command = command.commands[name]
    command.make_context(command.name, list(rest))  # raises UsageError for a wrong option


def test_every_command_is_in_the_readme() -> None:
    leaves = [path for path in all_commands() if path]
    missing = [" ".join(path) for path in leaves if " ".join(path) not in README]

    assert missing == []


def test_files_that_the_readme_links_to_exist() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", README)

    assert [link for link in links if not (ROOT / link).exists()] == []
