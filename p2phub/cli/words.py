"""What could stand where the cursor is: the words of a command line that is being typed, told from the real parser.

So a new option is completed the day it is there, and what a shell has installed never grows old. Pure.
"""

from __future__ import annotations

from argparse import SUPPRESS, Action, ArgumentParser, _SubParsersAction
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from p2phub.cli.parser import only_options_parser

FILES, FOLDERS = ":files", ":folders"
"""What a shell completes itself."""

_FOLDERS = ("DIR", "FOLDER", "PLACE")
_REFERENCES = ("REF", "BEFORE", "AFTER")
_ABOUT_MAX = 60


class Candidate(NamedTuple):
    """A word, and what it is for; or FILES, FOLDERS."""

    word: str
    about: str = ""


References = Callable[[Sequence[str]], Iterable[str]]
"""Looks up what is held here, with the words that were typed: among them may be where the home is."""


def candidates(parser: ArgumentParser, words: Sequence[str], references: References) -> list[Candidate]:
    """Return what may stand in the place of the last of `words`, which follow the program's name and may be begun or
    empty. `references` is asked where a reference may stand, and only there."""
    *before, word = words
    common = _options(only_options_parser())
    commands = next(each for each in parser._actions if isinstance(each, _SubParsersAction))
    name = next(iter(_positionals(before, common)), None)
    if name == "help":
        name = None
    if name is None:
        top = {**common, **_options(parser)}
        if (waiting := _waits(before, top)) is not None:
            return _fitting(_values(waiting, lambda: references(before)), word)
        known = [Candidate(each.dest, _short(each.help)) for each in commands._choices_actions]
        return _fitting(
            [*known, Candidate("help", "how a command is used")] if not word.startswith("-") else _named(top), word
        )
    own: ArgumentParser | None = commands.choices.get(name)
    if own is None:
        return []
    options = {**common, **_options(own)}
    if "--" not in before:
        if (waiting := _waits(before, options)) is not None:
            found = _values(waiting, lambda: references(before))
            if waiting.nargs != "?" or not word.startswith("-"):
                return _fitting(found, word)
        option, is_given, begun = word.partition("=")
        if is_given and option in options:
            found = _fitting(_values(options[option], lambda: references(before)), begun)
            return [Candidate(f"{option}={each.word}", each.about) for each in found if not each.word.startswith(":")]
        if word.startswith("-"):
            return _fitting(_named(options), word)
    places = [each for each in own._actions if not each.option_strings and each.help != SUPPRESS]
    count = len(_positionals(before, options)) - 1
    at = min(count, len(places) - 1)
    if at < 0 or (count > at and places[at].nargs not in ("*", "+")):
        return []
    return _fitting(_values(places[at], lambda: references(before)), word)


def _options(parser: ArgumentParser) -> dict[str, Action]:
    return {name: each for each in parser._actions for name in each.option_strings if each.help != SUPPRESS}


def _named(options: dict[str, Action]) -> list[Candidate]:
    return [Candidate(name, _short(each.help)) for name, each in options.items() if name.startswith("--")]


def _waits(before: Sequence[str], options: dict[str, Action]) -> Action | None:
    """Return the option that the word after these may be the value of."""
    last = options.get(before[-1]) if before else None
    return last if last is not None and last.nargs != 0 else None


def _positionals(before: Sequence[str], options: dict[str, Action]) -> list[str]:
    """Return the words that are neither options nor values of some."""
    found: list[str] = []
    skip = False
    for number, word in enumerate(before):
        if word == "--":
            return [*found, *before[number + 1 :]]
        if skip:
            skip = False
        elif word.startswith("-") and word != "-":
            option = options.get(word)
            skip = option is not None and option.nargs is None
        else:
            found.append(word)
    return found


def _values(action: Action, references: Callable[[], Iterable[str]]) -> list[Candidate]:
    if action.choices is not None:
        return [Candidate(str(each)) for each in action.choices]
    found: list[Candidate] = []
    meant = action.metavar if isinstance(action.metavar, str) else ""
    for part in meant.rpartition("]")[2].split("|"):
        if part in _FOLDERS:
            found.append(Candidate(FOLDERS))
        elif part == "FILE":
            found.append(Candidate(FILES))
        elif part in _REFERENCES:
            found += [Candidate(each) for each in references()]
        elif part.islower():
            found.append(Candidate(part))
    return found


def _fitting(found: Iterable[Candidate], word: str) -> list[Candidate]:
    return [each for each in found if each.word.startswith((word, ":"))]


def _short(text: str | None) -> str:
    """Return the beginning of what an option says about itself."""
    first = (text or "").partition(";")[0].partition(" (")[0]
    return first if len(first) <= _ABOUT_MAX else first[: _ABOUT_MAX - 1].rstrip() + "…"
