"""The walls of the house that import-linter's contracts cannot express."""

from __future__ import annotations

import ast
import json
import subprocess
import sys

import pytest

from p2phub.cli.command_list import NAMES
from tests.support.house import PURE_ROOMS, ROOT, imports_of, module_imports, modules, place, room_of, tree_of

COMPOSE = "p2phub.node.compose"
PORTS = {
    "store": {
        *("interface", "ledger_port", "keeping", "catalog", "disk", "caches", "materialise", "sharing"),
        *("fingerprints", "holding", "selected"),
        *("hub_copy", "hub_copies"),
    },
    "net": {"interface", "finder"},
}
"""Rooms of adapters behind ports, and their files that others may name: the ports and their values, what may be kept,
how to write a file safely, and what reads and writes caches as other programs have them, and shared places, which stand
behind no port: there is nothing to choose.
"""

# fmt: off
IMPURE_MODULES = frozenset({
    "trio", "libp2p", "asyncio", "anyio", "OpenSSL",
    "socket", "ssl", "select", "selectors", "socketserver", "http", "urllib",
    "sqlite3", "os", "shutil", "tempfile", "glob", "mmap", "fcntl", "io",
    "threading", "_thread", "multiprocessing", "concurrent", "subprocess", "signal", "queue",
    "time", "random", "secrets", "uuid",
    "importlib", "ctypes", "pickle",
})
IMPURE_CALLS = frozenset({"open", "input", "print", "eval", "exec", "__import__"})
CLOCKS = frozenset({"now", "utcnow", "today"})
FILE_METHODS = frozenset({
    "read_bytes", "read_text", "write_bytes", "write_text", "unlink", "mkdir", "rmdir", "touch", "symlink_to",
    "iterdir", "rglob", "exists", "is_file", "is_dir", "is_symlink", "stat", "lstat", "absolute", "expanduser",
})
# fmt: on


def test_only_the_libp2p_adapters_import_libp2p() -> None:
    wrong = [
        place(path, line)
        for module, path in modules().items()
        if not module.startswith("p2phub.net.libp2p_")
        for line, name in imports_of(path)
        if name.split(".")[0] == "libp2p"
    ]
    assert not wrong, f"libp2p is imported outside p2phub/net/libp2p_*: {wrong}"


def test_only_compose_names_adapters() -> None:
    """Everyone else imports the door or the interface of `store` and `net`, and gets the adapter handed in."""
    wrong = [
        f"{place(path, line)} names {name}"
        for module, path in modules().items()
        for line, name in module_imports(path)
        if room_of(name) in PORTS and room_of(module) != room_of(name)
        if name.count(".") > 1 and name.split(".")[2] not in PORTS[room_of(name)]
        if module != COMPOSE
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("room", PORTS)
def test_the_door_of_a_port_exports_no_adapter(room: str) -> None:
    door = modules()[f"p2phub.{room}"]
    wrong = [
        f"{place(door, line)} names {name}"
        for line, name in module_imports(door)
        if room_of(name) == room and name.split(".")[2] not in PORTS[room]
    ]
    assert not wrong, "\n".join(wrong)


def test_rooms_of_decisions_are_entered_by_their_doors() -> None:
    """`from p2phub.manifest import Manifest`, not `from p2phub.manifest.model`: what is behind the door may change."""
    wrong = [
        f"{place(path, line)} names {name}"
        for module, path in modules().items()
        for line, name in module_imports(path)
        if room_of(name) in PURE_ROOMS and room_of(module) != room_of(name) and name.count(".") > 1
    ]
    assert not wrong, "\n".join(sorted(set(wrong)))


def test_pure_rooms_use_no_file_clock_chance_or_code_from_outside() -> None:
    """Beyond the contract: what needs no import (open), what a pure module offers (datetime.now), paths that act."""
    wrong: list[str] = []
    for module, path in modules().items():
        if room_of(module) not in (*PURE_ROOMS, "errors", "limits"):
            continue
        wrong += [
            f"{place(path, line)} imports {name}"
            for line, name in imports_of(path)
            if name.split(".")[0] in IMPURE_MODULES
            and not (name == "importlib.import_module" and path.name == "__init__.py")  # A lazy door loads its rooms.
        ]
        for node in ast.walk(tree_of(path)):
            if not isinstance(node, ast.Call):
                continue
            called = node.func
            if isinstance(called, ast.Name) and called.id in IMPURE_CALLS:
                wrong.append(f"{place(path, node.lineno)} calls {called.id}")
            elif isinstance(called, ast.Attribute) and called.attr in FILE_METHODS:
                wrong.append(f"{place(path, node.lineno)} calls .{called.attr}")
            elif isinstance(called, ast.Attribute) and called.attr in CLOCKS:
                if isinstance(called.value, ast.Name) and called.value.id in {"datetime", "date"}:
                    wrong.append(f"{place(path, node.lineno)} reads the clock")
            elif isinstance(called, ast.Attribute) and called.attr == "generate":
                wrong.append(f"{place(path, node.lineno)} takes chance: .generate")
    assert not wrong, "\n".join(wrong)


def test_each_module_teaches_on_its_first_screen() -> None:
    wrong = [str(path.relative_to(ROOT)) for path in modules().values() if not ast.get_docstring(tree_of(path))]
    assert not wrong, f"no module docstring: {wrong}"


def test_values_are_structs() -> None:
    """A data class costs a start a millisecond (docs/decisions/0002)."""
    wrong = [
        place(path, line)
        for path in modules().values()
        for line, name in imports_of(path)
        if name.split(".")[0] == "dataclasses"
    ]
    assert not wrong, "\n".join(wrong)


def test_no_room_is_a_drawer() -> None:
    drawers = {"utils", "util", "helpers", "helper", "common", "misc", "tools", "lib", "base"}
    wrong = [module for module in modules() if drawers & set(module.split("."))]
    assert not wrong, f"named for no subject: {wrong}"


HEAVY = ("libp2p", "trio", "OpenSSL", "sqlite3", "zeroconf", "rich", "asyncio")


def loaded_by(code: str) -> set[str]:
    """Return which top-level modules a fresh Python has loaded after running `code`."""
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return set(json.loads(ran.stdout.splitlines()[-1]))


def test_importing_content_loads_neither_libp2p_nor_trio() -> None:
    assert not loaded_by("import p2phub.content") & set(HEAVY)


def test_importing_all_pure_rooms_loads_nothing_heavy() -> None:
    rooms = [room for room in PURE_ROOMS if f"p2phub.{room}" in modules()]
    assert len(rooms) >= 8
    assert not loaded_by("\n".join(f"import p2phub.{room}" for room in rooms)) & set(HEAVY)


def test_importing_the_doors_of_store_and_net_loads_no_adapter() -> None:
    loaded = loaded_by("import p2phub.store, p2phub.net")
    assert not loaded & {"libp2p", "OpenSSL", "sqlite3", "zeroconf"}


def test_the_library_door_opens_without_loading_a_room() -> None:
    loaded = loaded_by("import p2phub")
    assert not loaded & set(HEAVY)
    assert {name for name in loaded if name.startswith("p2phub.")} <= {"p2phub.errors", "p2phub.limits"}


A_FETCH = """
import p2phub.api.hub, p2phub.cli.fetch, p2phub.cli.main, p2phub.cli.running
import p2phub.net.tls, p2phub.node.compose, p2phub.node.verbs.fetching
"""
"""All that a fetch by ticket loads."""


def test_what_speaks_to_mirrors_is_loaded_with_the_first_mirror() -> None:
    loaded = loaded_by(A_FETCH)
    assert "p2phub.engine.fetch" in loaded
    assert not loaded & {"h11", "p2phub.net.mirror", "p2phub.net.http"}


def test_a_fetch_by_ticket_loads_nothing_that_only_others_need() -> None:
    """Whoever waits for the first byte waits for each of these, half a millisecond on average."""
    loaded = loaded_by(A_FETCH)
    of_others = {"catalog", "cli.manual", "engine.hashing", "node.catalog", "store.catalog_database", "store.linking"}
    assert not loaded & {*(f"p2phub.{name}" for name in of_others), "concurrent.futures", "pickletools"}
    formats = {name for name in loaded if name.startswith("p2phub.formats.")}
    assert formats == {f"p2phub.formats.{name}" for name in ("archives", "danger", "packed")}


def test_help_loads_neither_libp2p_nor_tls_nor_the_database() -> None:
    code = """
import sys
sys.argv = ["p2phub", "--help"]
from p2phub.cli.main import main
try:
    main()
except SystemExit:
    pass
"""
    assert not loaded_by(code) & {"libp2p", "OpenSSL", "sqlite3", "zeroconf", "cryptography"}


def test_a_line_that_names_a_command_loads_no_other() -> None:
    loaded = loaded_by("from p2phub.cli.main import main\nmain(['fetch', '--help'])")
    commands = {f"p2phub.cli.{name}" for name in NAMES}
    assert len(commands) >= 28
    assert loaded & commands == {"p2phub.cli.fetch"}
