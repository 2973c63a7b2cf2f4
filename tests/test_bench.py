"""The benchmarks can be started: each is there under its name, and imports what it measures."""

import ast
import subprocess
import sys

from bench import mutants
from tests.programs import ROOT


def test_an_unknown_benchmark_is_refused_with_the_names_of_the_others() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "nothing"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    names = done.stderr.partition("there are ")[2].strip().split(", ")
    files = {path.stem for path in (ROOT / "bench").glob("*.py")}
    assert len(names) >= 6
    assert set(names) <= files


SOURCE = '''
WHERE = "WHERE a = 1 AND b < :now"

def chosen(rows: list[int], least: int = 3) -> list[int]:
    """Docstrings stay."""
    if not rows:
        raise ValueError(rows)
    return [row for row in rows if row > least and row + 1 != 7]
'''


def test_a_mutant_is_the_module_with_one_change() -> None:
    found = list(mutants.mutants_of("m.py", SOURCE))
    whole = ast.unparse(ast.parse(SOURCE)).splitlines()
    for mutant in found:
        changed = ast.unparse(ast.parse(mutant.source)).splitlines()
        differing = [pair for pair in zip(whole, changed, strict=True) if pair[0] != pair[1]]
        assert len(differing) == 1, mutant
        assert mutant.before != mutant.after
    assert len({mutant.source for mutant in found}) == len(found)
    for wanted in (
        "WHERE a <> 1 AND b < :now",
        "WHERE a = 1 OR b < :now",
        "WHERE a = 1 AND b <= :now",
        "least: int=4",
        "    if rows:",
        "        pass",
        "if row >= least and row + 1 != 7]",
        "if row > least or row + 1 != 7]",
        "if row + 1 != 7]",
        "[row for row in rows]",
        "row - 1 != 7",
    ):
        assert sum(wanted in mutant.source for mutant in found) >= 1, wanted


def test_modules_to_mutate_and_their_tests_are_there() -> None:
    for module, tests in mutants.TESTS.items():
        assert (ROOT / module).is_file(), module
        assert (ROOT / tests).is_file(), tests
