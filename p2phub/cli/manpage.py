"""`p2phub help --man`: all helps as one page for man(1), made of the parser and of `manual`, so that it says the same.

    p2phub help --man >/usr/local/share/man/man1/p2phub.1

Pure. Source: man(7).
"""

from __future__ import annotations

from argparse import SUPPRESS, Action, ArgumentParser, _SubParsersAction
from collections.abc import Iterator

from p2phub.cli.manual import ALWAYS_CODES, MANUALS
from p2phub.cli.parser import DESCRIPTION, PROGRAM, only_options_parser


def man_page(parser: ArgumentParser, version: str) -> str:
    """Return the page, as roff."""
    return "\n".join(_page(parser, version)) + "\n"


def _page(parser: ArgumentParser, version: str) -> Iterator[str]:
    yield f'.TH {PROGRAM.upper()} 1 "" "{_text(PROGRAM)} {_text(version)}"'
    yield from (".SH NAME", rf"{PROGRAM} \- AI models and datasets between machines, without a central host")
    yield from (".SH SYNOPSIS", f".B {PROGRAM}", ".I COMMAND", "[options] [arguments]")
    yield from (".SH DESCRIPTION", _line(DESCRIPTION))
    yield ".SH COMMANDS"
    commands = next(each for each in parser._actions if isinstance(each, _SubParsersAction))
    for name, own in commands.choices.items():
        yield from _command(name, own)
    yield ".SH OPTIONS OF EVERY COMMAND"
    yield from _actions(only_options_parser())
    yield ".SH EXIT STATUS"
    for code, meaning in {0: "done", **ALWAYS_CODES}.items():
        yield from (".TP", f".B {code}", _line(meaning))
    yield ".SH FILES"
    for name, about in sorted({each for manual in MANUALS.values() for each in manual.files}):
        yield from (".TP", f".I {_text(name)}", _line(about))


def _command(name: str, own: ArgumentParser) -> Iterator[str]:
    yield from (f".SS {_text(name)}", _line(own.description or ""))
    yield from _actions(own)
    manual = MANUALS.get(name)
    if manual is None:
        return
    yield from (".PP", "Examples:")
    for example in manual.examples:
        yield from (".TP", f".B {_text(example.line)}", _line(example.about))
    yield from (".PP", _line(f"See also: {', '.join(manual.see_also)}."))


def _actions(parser: ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        if action.help not in (None, SUPPRESS) and "--help" not in action.option_strings:
            yield from (".TP", f".B {_text(_called(action))}", _line(action.help or ""))


def _called(action: Action) -> str:
    value = action.metavar if isinstance(action.metavar, str) else ""
    if action.choices is not None:
        value = "|".join(map(str, action.choices))
    value = f"[{value}]" if action.nargs == "?" else value
    return f"{', '.join(action.option_strings)} {value}".strip()


def _line(text: str) -> str:
    """Return a line of text, which must not begin as a request does."""
    return _text(text) if not text.startswith((".", "'")) else rf"\&{_text(text)}"


def _text(text: str) -> str:
    return text.replace("\\", r"\e").replace("-", r"\-").replace("'", r"\(aq").replace("%%", "%")
