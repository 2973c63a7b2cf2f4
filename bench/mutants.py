"""Change the source in one place at a time, in a copy, and tell which changes no test notices.

`make mutants`, or `python -m bench.mutants [--sample N] [--seed N] [--minutes N] [MODULE…]`. What
survives, and why, is kept in docs/decisions/0010-mutants.md with why this is no library's work.
"""

import argparse
import ast
import multiprocessing
import os
import queue
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
#: Each module with the tests that are to notice.
TESTS = {
    "catalog/facts.py": "tests/catalog/test_facts.py",
    "catalog/work/claims.py": "tests/catalog/work/test_claims.py",
    "scraper/files/transfer.py": "tests/scraper/files/test_download.py",
    "features/store.py": "tests/features/test_store.py",
    "model/split.py": "tests/model/test_split.py",
    "model/evaluation/comparison.py": "tests/model/evaluation/test_comparison.py",
    "model/evaluation/metrics.py": "tests/model/evaluation/test_metrics.py",
}
WORKERS = 2
#: Each run is a process of its own, but what takes seconds to import is imported once for all.
FORKS = multiprocessing.get_context("forkserver")
HEAVY = ["torch", "scipy.stats", "sqlalchemy.orm", "alembic.command", "pytest"]
SWAPS: list[tuple[type[ast.AST], type[ast.AST]]] = [
    *((ast.Lt, ast.LtE), (ast.Gt, ast.GtE), (ast.LtE, ast.Lt), (ast.GtE, ast.Gt)),
    *((ast.Eq, ast.NotEq), (ast.NotEq, ast.Eq), (ast.Is, ast.IsNot), (ast.IsNot, ast.Is)),
    *((ast.In, ast.NotIn), (ast.NotIn, ast.In), (ast.And, ast.Or), (ast.Or, ast.And)),
    *((ast.Add, ast.Sub), (ast.Sub, ast.Add), (ast.Mult, ast.Div), (ast.Div, ast.Mult)),
    *((ast.Pow, ast.Mult), (ast.FloorDiv, ast.Div), (ast.RShift, ast.LShift)),
]
SQL = re.compile(r"\b(SELECT|UPDATE|INSERT|WHERE|AND|EXISTS)\b")
#: What is found in such a text, and what takes its place.
SQL_SWAPS = {
    r"\bAND\b": "OR",
    r"\bOR\b": "AND",
    r"\bNOT EXISTS\b": "EXISTS",
    r"\bIN \(": "NOT IN (",
    r"<=": "<",
    r"<(?![=>])": "<=",
    r"<>": "=",
    r"((?:AND|OR|WHERE|ON)\s+\(?[\w.]+) = ": r"\1 <> ",
    r" \+ 1": " + 2",
    r"\w+ = (NULL|0), ": "",
    r" ORDER BY [\w., ]+?(?= LIMIT)": "",
}
#: The second only for what the first does not notice: a server takes its time to start.
MARKS = ("not postgres", "postgres")


class Mutant(NamedTuple):
    """A module with one change, told as what is there `before` and `after`."""

    module: str
    line: int
    before: str
    after: str
    source: str


def mutants_of(module: str, source: str) -> Iterator[Mutant]:
    """Every change of a module that this file knows of."""
    tree = ast.parse(source)
    for holder, key, node, around in _places(tree, tree):
        before = ast.unparse(around)
        for other in _others(node):
            holder[key] = other
            told = _difference(before, ast.unparse(other if around is node else around))
            yield Mutant(module, getattr(around, "lineno", 0), *told, ast.unparse(tree))
        holder[key] = node


def _places(node: ast.AST, around: ast.AST) -> Iterator[tuple[Any, Any, ast.AST, ast.AST]]:
    """Each node below: what holds it, where, itself, and what it is to be shown in.

    Not types and decorators, nor whether zip is strict.
    """
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        children = list(enumerate(value)) if isinstance(value, list) else [(name, value)]
        for key, child in children:
            if isinstance(child, ast.AST) and getattr(child, "arg", "") != "strict":
                near = node if isinstance(node, ast.stmt | ast.expr) else around
                near = child if isinstance(child, ast.stmt) else near
                yield value if isinstance(value, list) else vars(node), key, child, near
                yield from _places(child, near)


def _others(node: ast.AST) -> Iterator[ast.AST]:
    """What may stand in a node's place."""
    match node:
        case ast.cmpop() | ast.operator() | ast.boolop():
            yield from (new() for old, new in SWAPS if isinstance(node, old))
        case ast.BoolOp(values=values) if len(values) > 1:
            parts = (values[:i] + values[i + 1 :] for i in range(len(values)))
            yield from (_with(node, values=some) for some in parts)
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.Invert()):
            yield node.operand
        case ast.Constant(value=bool()):
            yield ast.Constant(not node.value)
        case ast.Constant(value=int() | float() as number):
            yield ast.Constant(number + 1 if number < 10 else number * 2)
        case ast.Constant(value=str() as text) if SQL.search(text):
            for pattern, new in SQL_SWAPS.items():
                for found in re.finditer(pattern, text):
                    start, end = found.span()
                    yield ast.Constant(text[:start] + found.expand(new) + text[end:])
        case ast.Call(func=ast.Attribute(attr="where"), args=[_, _, *_] as args):
            yield from (_with(node, args=args[:i] + args[i + 1 :]) for i in range(len(args)))
        case ast.comprehension(ifs=[_, *_]):
            yield _with(node, ifs=[])
        case ast.If() | ast.IfExp():
            yield from (_with(node, test=ast.Constant(taken)) for taken in (True, False))
        case ast.Expr(value=ast.Call()) | ast.Raise() | ast.AugAssign() | ast.Continue():
            yield ast.Pass()


def _with(node: ast.AST, **fields: object) -> ast.AST:
    changed = copy(node)
    vars(changed).update(fields)
    return changed


def _difference(before: str, after: str) -> tuple[str, str]:
    """The two where they differ, with some letters around."""
    two = re.sub(r"\s+", " ", before), re.sub(r"\s+", " ", after)
    # Letters are meant, not folders.
    start = len(os.path.commonprefix(two))  # noqa: RUF071
    end = len(os.path.commonprefix([text[start:][::-1] for text in two]))  # noqa: RUF071
    first, last = (text[max(0, start - 30) : len(text) - max(0, end - 30)] for text in two)
    return first[:150], last[:150]


def main() -> int:
    """Run a sample, and tell of each module how many are noticed, and which are not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", default=list(TESTS), metavar="MODULE")
    parser.add_argument("--sample", type=int, default=150, help="how many; 0 for all [150]")
    parser.add_argument("--seed", type=int, default=0, help="which [0]")
    parser.add_argument("--minutes", type=float, default=15, help="begin none after that [15]")
    given = parser.parse_args()
    found = [m for name in given.modules for m in mutants_of(name, (ROOT / name).read_text())]
    random.Random(given.seed).shuffle(found)
    chosen = found[: given.sample or None]
    ends_s = time.monotonic() + 60 * given.minutes
    FORKS.set_forkserver_preload(HEAVY)
    trees: queue.SimpleQueue[Path] = queue.SimpleQueue()
    moments = count(1)

    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(WORKERS) as pool:
        for i in range(WORKERS):
            trees.put(_copy(Path(folder) / str(i)))

        def timed(tests: str) -> float:
            tree, began_s = trees.get(), time.monotonic()
            if _run(tree, tests, 600) != "survived":
                raise SystemExit(f"{tests} does not pass as it is")
            trees.put(tree)
            return time.monotonic() - began_s

        def judge(mutant: Mutant) -> str:
            if time.monotonic() > ends_s:
                return "not run"
            tree = trees.get()
            path = tree / mutant.module
            whole = path.read_text()
            path.write_text(mutant.source)
            # Compiled files are told apart by second and size; no two changes may share both.
            os.utime(path, (moment := next(moments), moment))
            verdict = _run(tree, TESTS[mutant.module], 30 + 3 * usual_s[TESTS[mutant.module]])
            path.write_text(whole)
            trees.put(tree)
            sys.stderr.write(f"{verdict:9} {_told(mutant)}\n")
            return verdict

        needed = sorted({TESTS[mutant.module] for mutant in chosen})
        usual_s = dict(zip(needed, pool.map(timed, needed), strict=True))
        judged = list(zip(chosen, pool.map(judge, chosen), strict=True))
    _report(found, judged)
    return 0


def _copy(tree: Path) -> Path:
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=True, text=True,
    ).stdout.split("\0")  # fmt: skip
    for name in names:
        if (source := ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_bytes(source.read_bytes())
    return tree


def _run(tree: Path, tests: str, limit_s: float) -> str:
    """What the tests say: survived, killed, or timed out."""
    for marks in MARKS:
        child = FORKS.Process(target=_test, args=(tree, tests, marks))
        child.start()
        child.join(limit_s)
        if child.exitcode is None:
            os.killpg(child.pid or 0, signal.SIGKILL)
            child.join()
            return "timed out"
        if child.exitcode not in (0, pytest.ExitCode.NO_TESTS_COLLECTED):
            return "killed"
    return "survived"


def _test(tree: Path, tests: str, marks: str) -> None:
    os.setpgid(0, 0)  # so that what it starts can be ended with it
    os.chdir(tree)
    sys.path.insert(0, str(tree))
    os.environ |= {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    sys.exit(pytest.main(["-q", "-x", "-p", "no:cacheprovider", "-m", marks, tests]))


def _told(mutant: Mutant) -> str:
    return f"{mutant.module}:{mutant.line} `{mutant.before}` -> `{mutant.after}`"


def _report(found: list[Mutant], judged: list[tuple[Mutant, str]]) -> None:
    out = sys.stdout.write
    out("\n| module | mutants | tried | noticed | survive |\n|---|--:|--:|--:|--:|\n")
    total, of = Counter(m.module for m in found), Counter((m.module, v) for m, v in judged)
    for name in total:
        noticed, survive = of[name, "killed"] + of[name, "timed out"], of[name, "survived"]
        out(f"| {name} | {total[name]} | {noticed + survive} | {noticed} | {survive} |\n")
    out("\n" + "".join(f"* {_told(m)}\n" for m, v in sorted(judged) if v == "survived"))


if __name__ == "__main__":
    sys.exit(main())
