"""The library's door says what it gives: every public thing behind `p2phub` has a docstring with shape, units, errors.

The rules are mechanical, so that they can be broken: a docstring of its own; what a call returns; for each parameter or
field that is a size or a time, its unit, in its name or in words; and `Raises`, with kinds that exist, where it raises.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

import msgspec
import pytest

import p2phub
from p2phub import errors

UNIT_IN_NAME = re.compile(r"bytes|(^|_)(s|seconds|per_s)$")
SIZE_OR_TIME = re.compile(
    r"(^|_)(bytes|size|length|offset|start|stop|limit|seconds|s|timeout|deadline|age|created|expires|up|down|rate)($|_)"
)
UNIT_IN_WORDS = re.compile(r"\b(bytes?|seconds?|unix|bytes/s|[kMG]i?B)\b")
Function = Callable[..., Any]


def functions_of(name: str, thing: object) -> Iterator[tuple[str, Function]]:
    """Yield the public calls that `thing` offers under its dotted names: itself, or its methods and properties."""
    if inspect.isfunction(thing):
        yield name, inspect.unwrap(thing)
    elif inspect.isclass(thing):
        for owner in thing.__mro__:
            if not owner.__module__.startswith("p2phub"):
                continue
            for attribute, member in vars(owner).items():
                function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
                if not attribute.startswith("_") and isinstance(function, FunctionType):
                    yield f"{name}.{attribute}", function


def things() -> list[tuple[str, object]]:
    return [(name, getattr(p2phub, name)) for name in p2phub.__all__]


def calls() -> list[tuple[str, Function]]:
    return [pair for name, thing in things() for pair in functions_of(name, thing)]


def classes() -> list[tuple[str, type]]:
    return [(name, thing) for name, thing in things() if inspect.isclass(thing)]


def body_of(function: Function) -> ast.AST:
    return ast.parse(textwrap.dedent(inspect.getsource(function)))


def gives(name: str, call: Function) -> bool:
    """Whether a call returns something that wants words: not None, nor a property, nor what `async with` opens."""
    owner, _, attribute = name.partition(".")
    if attribute and isinstance(inspect.getattr_static(getattr(p2phub, owner), attribute), property):
        return False
    annotation = str(inspect.signature(call).return_annotation)
    return annotation not in {"None", "bool"} and "Iterator" not in annotation


def is_written(thing: type) -> bool:
    """Whether a class has a docstring that somebody wrote: a data class makes one of its fields."""
    doc = thing.__dict__.get("__doc__")
    return bool(doc) and not doc.startswith(thing.__name__ + "(")


def walk_uncaught(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes below `node` but for those whose errors a `try` around them catches."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Try) and child.handlers:
            for part in (*child.handlers, *child.orelse, *child.finalbody):
                yield from walk_uncaught(part)
            continue
        yield child
        yield from walk_uncaught(child)


def raises(function: Function, seen: frozenset[Function] = frozenset()) -> bool:
    """Whether a call may raise, as far as its source tells: it raises, asks the node, or calls one that does.

    What it calls is looked up by name in its module: ours whose docstring says Raises, or that raise themselves.
    """
    if function in seen:
        return False
    for node in walk_uncaught(body_of(function)):
        if isinstance(node, ast.Raise):
            return True
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Attribute) and node.func.attr == "call":
            return True  # `self._verbs.call`: the node, whose every verb can fail.
        if isinstance(node.func, ast.Name):
            called = inspect.unwrap(getattr(sys.modules[function.__module__], node.func.id, None))  # type: ignore[arg-type]
            if not inspect.isfunction(called) or not called.__module__.startswith("p2phub"):
                continue
            if "Raises" in (called.__doc__ or "") or raises(called, seen | {function}):
                return True
    return False


def errors_named(doc: str) -> list[str]:
    """Return the capitalised words of the sentences that begin with Raises."""
    sentences = re.findall(r"\bRaises\s(.*?)(?:\.(?:\s|$)|$)", re.sub(r"`[^`]*`", "", doc), flags=re.DOTALL)
    return re.findall(r"\b(?:[A-Z][a-z]+)+\b", " ".join(sentences))


def unitless(names: list[str], doc: str) -> list[str]:
    """Return which of `names` are sizes or times whose unit neither they nor the docstring tells."""
    wanting = [name for name in names if SIZE_OR_TIME.search(name) and not UNIT_IN_NAME.search(name)]
    return [] if UNIT_IN_WORDS.search(doc) else wanting


@pytest.mark.parametrize(("name", "thing"), classes(), ids=lambda value: value if isinstance(value, str) else "")
def test_every_class_of_the_library_says_what_it_is(name: str, thing: type) -> None:
    assert is_written(thing), f"{name} has no docstring of its own"
    if issubclass(thing, msgspec.Struct):
        fields = list(thing.__struct_fields__)
        source = inspect.getsource(thing)  # A unit may stand in the comment beside its field.
        assert not unitless(fields, source), f"{name}: in what unit?"


@pytest.mark.parametrize(("name", "call"), calls(), ids=lambda value: value if isinstance(value, str) else "")
def test_every_call_of_the_library_says_what_it_returns_in_what_units_and_what_it_raises(
    name: str, call: Function
) -> None:
    doc = call.__doc__ or ""
    assert len(doc.split()) >= 4, f"{name} has no docstring"
    if gives(name, call):
        assert re.search(r"\b[Rr]eturns?\b|^Read ", doc), f"{name} does not say what it returns"
    assert not unitless(list(inspect.signature(call).parameters), doc), f"{name}: in what unit?"
    if raises(call):
        assert errors_named(doc), f"{name} does not say what it raises"
    for error in errors_named(doc):
        kind = getattr(errors, error, None)
        assert inspect.isclass(kind), f"{name} says that it raises {error}, which is no kind of HubError"
        assert issubclass(kind, errors.HubError)


def test_the_rules_notice_what_is_missing() -> None:
    def silent(timeout: float) -> int:
        raise errors.NotFound("always")

    def boasting() -> None:
        """Do it. Raises NoSuchError. Raises nothing else."""

    class Bare(msgspec.Struct):
        size: int

    assert raises(silent)
    assert unitless(["timeout", "name"], "Wait.") == ["timeout"]
    assert unitless(["timeout"], "Wait `timeout` seconds.") == []
    assert unitless(["timeout_s", "bytes_total"], "") == []
    assert errors_named(boasting.__doc__ or "") == ["NoSuchError"]
    assert not is_written(Bare)
    assert [name for name, _ in functions_of("Hub", p2phub.Hub)] >= ["Hub.publish"]


def test_the_door_lists_what_it_gives_and_nothing_else() -> None:
    listed = [name for name in dir(p2phub) if not name.startswith("__")]
    assert listed == sorted(p2phub.__all__)
    assert len(set(p2phub.__all__)) == len(p2phub.__all__)
    assert not hasattr(p2phub, "no_such_thing")


def test_the_door_offers_every_kind_of_error_and_event_that_its_verbs_tell_of() -> None:
    for _, call in calls():
        assert set(errors_named(call.__doc__ or "")) <= set(p2phub.__all__)
    for name in ("publish", "fetch", "info", "ls", "verify", "open_hub", "Hub", "run_node", "Done", "Published"):
        assert name in p2phub.__all__


def test_the_door_is_declared_to_type_checkers_as_it_is_at_run_time() -> None:
    """Each name of `__all__` is imported under TYPE_CHECKING, from where it really comes."""
    tree = ast.parse(inspect.getsource(p2phub))
    declared = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("p2phub.")
        for alias in node.names
    }
    assert set(declared) == set(p2phub.__all__)
    for name, module in declared.items():
        assert getattr(p2phub, name) is getattr(sys.modules[str(module)], name)
