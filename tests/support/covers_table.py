"""The tests column of docs/threat-model.md, made from the `@covers(...)` marks of the tests.

    python -m tests.support.covers_table        # writes the column anew

Everything else on that page is written by hand: a row begins with its id (T.. or F..), and its last cell is this
module's. Marks are read from the source, so nothing is run, and tests that a run leaves out count as well.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.house import ROOT, tree_of

PAGE = ROOT / "docs" / "threat-model.md"
TESTS = ROOT / "tests"
SPELLINGS = frozenset({"covers", "pytest.mark.covers"})
_ROW = re.compile(r"^\| (?P<id>[TF]\d\d) \| (?P<what>[^|]*) \| (?P<answer>[^|]*) \|(?P<tests>[^|]*)\|$")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the tables: what is told by hand of a threat or fault, and its cell of tests."""

    id: str
    what: str
    answer: str
    tests: str

    @property
    def accepted(self) -> bool:
        """Whether the page says that nothing is built against it yet."""
        return self.answer.startswith("**Accepted")

    def __str__(self) -> str:
        return f"| {self.id} | {self.what} | {self.answer} | {self.tests} |"


def rows(page: str) -> Iterator[Row]:
    """Yield the rows of the page's tables."""
    for line in page.splitlines():
        found = _ROW.match(line)
        if found:
            yield Row(found["id"], found["what"].strip(), found["answer"].strip(), found["tests"].strip())


def marks() -> dict[str, dict[Path, list[str]]]:
    """Return which tests cover what: id to file to names of tests, in the order of paths and of the files."""
    found: dict[str, dict[Path, list[str]]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        for name, ids in marks_of(tree_of(path)):
            for each in ids:
                found.setdefault(each, {}).setdefault(path, []).append(name)
    return found


def marks_of(tree: ast.Module) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield (test, ids) of each mark of a file's tests: `@covers("T33")` or `@pytest.mark.covers("T33")`.

    One set of a test's parameters may have its own, `pytest.param("nat", marks=covers("F20"))`, in the decorator or in
    a constant of the file that the decorator names: the test is `test_name[nat]` then.
    """
    constants = dict(_constants(tree))
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or not node.name.startswith("test_"):
            continue
        for mark in node.decorator_list:
            if (ids := _ids(mark)) is not None:
                yield node.name, ids
            elif isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.parametrize":
                for value in mark.args[1:]:
                    listed = constants.get(value.id, value) if isinstance(value, ast.Name) else value
                    yield from ((f"{node.name}[{name}]", ids) for name, ids in _marks_of_params(listed))


def _constants(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """Yield what stands in the file itself under a name."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            yield node.target.id, node.value


def _marks_of_params(listed: ast.expr) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield (first value, ids) of each `pytest.param` with a mark."""
    for param in ast.walk(listed):
        if isinstance(param, ast.Call) and ast.unparse(param.func) == "pytest.param":
            for given in (keyword.value for keyword in param.keywords if keyword.arg == "marks"):
                for mark in ast.walk(given):
                    if (ids := _ids(mark)) is not None:
                        yield str(ast.literal_eval(param.args[0])), ids


def _ids(mark: ast.AST) -> tuple[str, ...] | None:
    """Return what a mark names; None if it is another."""
    if isinstance(mark, ast.Call) and ast.unparse(mark.func) in SPELLINGS:
        return tuple(ast.literal_eval(each) for each in mark.args)
    return None


def cell(tests: dict[Path, list[str]]) -> str:
    """Return the cell of one row: a link a file, with how many tests of it, their names shown by a pointer over it."""
    links = []
    for path, names in sorted(tests.items()):
        shown = "; ".join(name.removeprefix("test_").replace("_", " ") for name in names)
        times = f" ({len(names)})" if len(names) > 1 else ""
        title = path.relative_to(TESTS).with_suffix("").as_posix().replace("test_", "")
        links.append(f'[{title}](../tests/{path.relative_to(TESTS).as_posix()} "{shown}"){times}')
    return ", ".join(links) or "-"


def written(page: str) -> str:
    """Return the page with its column of tests as the marks say it."""
    covered = marks()
    lines = []
    for line in page.splitlines():
        found = _ROW.match(line)
        if found:
            line = str(
                Row(found["id"], found["what"].strip(), found["answer"].strip(), cell(covered.get(found["id"], {})))
            )
        lines.append(line)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
