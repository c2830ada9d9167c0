"""The first lines of the process `p2phub`: from here on Ctrl-C and SIGTERM end it with one line and exit code 130.

Python's own answer is a traceback through whatever was being imported, and to a SIGTERM none at all. So this comes
before every import that takes time, `typing` among them, and needs none. What runs hears signals itself
(`cli.running`).
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from types import FrameType
    from typing import NoReturn
else:
    import _signal as signal  # What `signal` itself is made of: that loads `enum` and `re` besides.

INTERRUPTED = 130
_ON = ("1", "true", "yes", "on")
_OBJECT = b'{"event": "failed", "code": 130, "message": "interrupted", "hint": null}\n'


def program() -> NoReturn:
    """Be the process `p2phub`: run the command, and end with its exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # What a parent ignores for background jobs stays ignored.
            signal.signal(number, end_early)
    from p2phub.cli.main import program as run

    run()


def end_early(number: int, frame: FrameType | None) -> None:
    """Say that it was interrupted, with what is loaded already, and end: nothing was begun."""
    as_json = "--json" in sys.argv or os.environ.get("P2PHUB_JSON", "").strip().lower() in _ON
    try:
        os.write(1, _OBJECT) if as_json else os.write(2, b"Interrupted\n")
    except OSError:  # Nobody reads it.
        os._exit(INTERRUPTED)
    os._exit(INTERRUPTED)
