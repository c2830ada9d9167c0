"""p2phub whose trio loop is kept busy: `python -m benchmarks.programs.busy_p2phub WORDS...`, as `python -m p2phub`.

One more task computes for 5 ms at a time, for ever, and lets the others have their turns between: what a gateway or
a large index does to the loop. The bulk bytes should hardly feel it.
"""

import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import trio

_SPIN_S = 0.005


def main() -> None:
    """Run p2phub with the busy task beside its own."""
    run = trio.run

    def run_busy(work: Callable[..., Awaitable[Any]], *arguments: Any, **settings: Any) -> Any:
        async def work_beside(*arguments: Any) -> Any:
            trio.lowlevel.spawn_system_task(_spin)
            return await work(*arguments)

        return run(work_beside, *arguments, **settings)

    setattr(trio, "run", run_busy)  # noqa: B010 - plainly, mypy would have the types agree
    from p2phub.cli.main import main as p2phub

    sys.exit(p2phub())


async def _spin() -> None:
    while True:
        end = time.monotonic() + _SPIN_S
        while time.monotonic() < end:
            pass
        await trio.lowlevel.checkpoint()


if __name__ == "__main__":
    main()
