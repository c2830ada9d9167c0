"""Log records on stderr: warnings of p2phub's own, or with -v what it does, with -vv what its libraries do, too."""

from __future__ import annotations

import logging

from p2phub.cli.output import Output


class _Lines(logging.Handler):
    """Writes records as lines, what strangers sent made visible; a traceback keeps its lines."""

    def __init__(self, output: Output, level: int) -> None:
        super().__init__(level)
        self._output = output
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        for line in self.format(record).splitlines():
            self._output.log(line)


def start_logging(output: Output, *, verbose: int) -> None:
    """Send records to stderr from now on. Called again, it replaces what the last call set up."""
    root, own = logging.getLogger(), logging.getLogger("p2phub")
    for logger in (root, own):
        for handler in [handler for handler in logger.handlers if isinstance(handler, _Lines)]:
            logger.removeHandler(handler)
    own.setLevel((logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)])
    own.addHandler(_Lines(output, logging.DEBUG))
    own.propagate = False
    if verbose >= 2:
        root.setLevel(logging.DEBUG)
        root.addHandler(_Lines(output, logging.DEBUG))
    else:
        root.addHandler(logging.NullHandler())  # Or Python prints other libraries' warnings itself.
