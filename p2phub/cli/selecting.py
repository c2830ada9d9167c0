"""The options that choose a part of a manifest, for every command that takes them."""

from __future__ import annotations

import shlex
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypedDict

from p2phub.cli.arguments import Arguments
from p2phub.errors import UsageError


class Selection(TypedDict):
    """What `Hub.fetch` and `Hub.plan` take."""

    include: list[str]
    exclude: list[str]
    tensors: list[str]
    columns: list[str]
    row_groups: list[str]


def add_selection(group: Arguments) -> None:
    """Add what is fetched, if it is not all: files, tensors, columns and row groups."""
    add_repeated(
        group,
        "--include",
        "GLOB",
        "only files that match, in gitignore syntax with at most two stars; may be repeated",
    )
    add_repeated(group, "--exclude", "GLOB", "leave out files that match; may be repeated")
    add_repeated(
        group,
        "--tensor",
        "GLOB",
        "of safetensors and GGUF files only the tensors whose names match ('*layers.0.*'), into a file "
        "NAME.selected.safetensors or .gguf, and other files only if --include names them; may be repeated",
    )
    add_repeated(
        group,
        "--columns",
        "NAMES",
        "of Parquet files only these columns, by commas ('id,text'; a pattern may be one), each into a file "
        "NAME.selected.parquet, and other files only if --include names them; may be repeated",
    )
    add_repeated(
        group,
        "--row-groups",
        "N-M",
        "the same for row groups, counted from 0, both ends included, by commas ('0-3,8'); may be repeated",
    )


def add_repeated(group: Arguments, option: str, metavar: str, what: str) -> None:
    group.add_argument(option, metavar=metavar, action="append", default=[], help=what)


def selection(args: Namespace) -> Selection:
    """Return what was chosen, as the library takes it."""
    return Selection(
        include=args.include,
        exclude=args.exclude,
        tensors=args.tensor,
        columns=_listed(args.columns),
        row_groups=_listed(args.row_groups),
    )


def _listed(given: list[str]) -> list[str]:
    return [each.strip() for text in given for each in text.split(",")]


WHOLE_NAME = "a pattern means the whole of a name: perhaps"


def meant_by(pattern: str) -> str | None:
    """Return, quoted for a shell, what was perhaps meant by a pattern of tensors; None if it begins with a star.

    Most models name their tensors from the root (`model.layers.0.…`), while people think of `layers.0.*`.
    """
    return None if pattern.startswith("*") else shlex.quote(f"*{pattern}")


@contextmanager
def patterns_explained(args: Namespace) -> Iterator[None]:
    """Say, where no tensor is selected, what was perhaps meant by the patterns."""
    try:
        yield
    except UsageError as error:
        perhaps = [meant for pattern in args.tensor if (meant := meant_by(pattern)) is not None]
        if not perhaps or "no tensor" not in error.message:  # What else is wrong has nothing to do with patterns.
            raise
        raise UsageError(error.message, hint=f"{error.hint}; {WHOLE_NAME} --tensor {perhaps[0]}") from error


def unmatched_line(pattern: str, *, is_of_tensors: bool) -> str:
    """Return what a person is told of a pattern that matches nothing."""
    meant = meant_by(pattern) if is_of_tensors else None
    perhaps = f"; {WHOLE_NAME} --tensor {meant}" if meant is not None else ""
    return f"Nothing matches {pattern}{perhaps}"
