"""Log records on stderr: warnings of p2phub's own, or with -v what it does, with -vv what its libraries do, too.

As lines for people, or as JSON for what collects logs: then all of stderr is objects, one a line, and so is what is
said to people there. Of a command that ends soon, a warning is a sentence among others, without a date or whose it is.
A secret has no business in a record; what looks like a token of ours or of a hub is left out all the same, wherever it
came from.
"""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime
from typing import Any

from p2phub.cli.output import Output

_TOKEN = re.compile(
    # Ours and a hub's, what a header has, and the URLs by which an upload is put without a token.
    r"\b((?:hf|p2phub)_)[A-Za-z0-9]{12,}|(?i:\b(bearer|basic) )[A-Za-z0-9._~+/=-]{8,}"
    r"|(/api/(?:uploads|xet)/)[0-9a-f]{8,}"
)
_TEXT_MAX = 16_384
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""What every record has; the rest is what whoever logs gave as `extra`."""


class _Lines(logging.Handler):
    """Writes records as lines, what strangers sent made visible; a traceback keeps its lines."""

    def __init__(self, output: Output, level: int, *, dated: bool) -> None:
        super().__init__(level)
        self._output = output
        whose = "%(asctime)s %(levelname)s %(name)s: " if dated else "%(levelname)s: "
        self.setFormatter(logging.Formatter(f"{whose}%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        if self._output.dress is not None:
            self._output.log_whole(as_json(record))
            return
        for line in without_secrets(self.format(record)).splitlines():
            self._output.log(line)


def start_logging(output: Output, *, verbose: int, dated: bool = True, told: str | None = None) -> None:
    """Send records to stderr from now on, `dated` or as mere sentences; with `verbose` they are always dated. What the
    logger `told` warns of is said elsewhere. Called again, it replaces what the last call set up."""
    root, own = logging.getLogger(), logging.getLogger("p2phub")
    for logger in (root, own):
        for handler in [handler for handler in logger.handlers if isinstance(handler, _Lines)]:
            logger.removeHandler(handler)
    own.setLevel((logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)])
    lines = _Lines(output, logging.DEBUG, dated=dated or verbose > 0)
    if told is not None and not verbose:
        lines.addFilter(lambda record: not f"{record.name}.".startswith(f"{told}."))
    own.addHandler(lines)
    own.propagate = False
    if verbose >= 2:
        root.setLevel(logging.DEBUG)
        root.addHandler(_Lines(output, logging.DEBUG, dated=True))
    else:
        root.addHandler(logging.NullHandler())  # Or Python prints other libraries' warnings itself.


def log_as_json(output: Output) -> None:
    """Have all that goes to stderr from now on be JSON, an object a line."""

    def dress(line: str, level: str) -> str:
        return as_json(logging.makeLogRecord({"name": "p2phub.cli", "levelname": level, "msg": line}))

    output.dress = dress


def as_json(record: logging.LogRecord) -> str:
    """Return a record as one line: "ts" (RFC 3339, UTC), "level", "logger", "msg", "exc" where there is a traceback,
    and what it was given as `extra` under its own names."""
    told: dict[str, Any] = {
        "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "msg": _text(record.getMessage()),
    }
    if record.exc_info:
        told["exc"] = _text(logging.Formatter().formatException(record.exc_info))
    for name, value in vars(record).items():
        if name not in _OWN and name not in told:
            told[name] = value if isinstance(value, int | float | bool | None) else _text(str(value))
    return json.dumps(told)  # ASCII: what strangers sent is escaped.


def without_secrets(text: str) -> str:
    """Return `text` with what looks like a token in it left out."""
    return _TOKEN.sub(lambda found: f"{found[1] or found[3] or found[2] + ' '}[left out]", text)


def _text(text: str) -> str:
    return without_secrets(text[:_TEXT_MAX])
