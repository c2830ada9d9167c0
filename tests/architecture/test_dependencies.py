"""What p2phub imports is what pyproject.toml declares: nothing is there only because another package brings it."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib import metadata

from tests.support.house import PACKAGE, ROOT, imports_of, modules, place


def declared() -> set[str]:
    """The names of the packages that installing p2phub asks for, normalised as package indexes do."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {_normal(re.split(r"[^A-Za-z0-9._-]", entry)[0]) for entry in project["dependencies"]}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


OPTIONAL = {
    "p2phub.api.arrays": {"numpy": "arrays", "torch": "torch"},
    "p2phub.web.reading_rows": {"pyarrow": "page"},
    "p2phub.filesystem.ahead": {"fsspec": "fs"},
    "p2phub.filesystem.files": {"fsspec": "fs"},
    "p2phub.filesystem.system": {"fsspec": "fs"},
}
"""By module what it imports only when it is asked to, and the extra that declares it."""


def test_what_is_imported_only_when_asked_for_is_declared_as_an_extra() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for module, packages in OPTIONAL.items():
        imported = {name.split(".")[0] for _, name in imports_of(modules()[module])}
        for package, extra in packages.items():
            assert package in imported
            assert any(entry.startswith(package) for entry in extras[extra])


def test_each_imported_package_is_declared() -> None:
    distributions = metadata.packages_distributions()
    wrong = [
        f"{place(path, line)} imports {name}"
        for module, path in modules().items()
        for line, name in imports_of(path)
        if (top := name.split(".")[0]) != PACKAGE and top not in sys.stdlib_module_names
        if top not in OPTIONAL.get(module, ())
        if not {_normal(distribution) for distribution in distributions.get(top, [])} & declared()
    ]
    assert not wrong, "\n".join(wrong)


def test_each_declared_package_is_imported() -> None:
    distributions = metadata.packages_distributions()
    used = {
        _normal(distribution)
        for path in modules().values()
        for _, name in imports_of(path)
        for distribution in distributions.get(name.split(".")[0], [])
    }
    unused = declared() - used
    assert not unused, f"declared and never imported: {unused}"
