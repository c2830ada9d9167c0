"""How long one tensor takes: `python -m benchmarks.programs.one_tensor open|fetch HOME TICKET PROVIDER NAME`.

`open`: by `open_tensors`, asked for before all others, until its array is there. `fetch`: alone, until it is in a file.
Prints the seconds since the call.
"""

import json
import sys
import time
from pathlib import Path

import trio

from p2phub import api


async def _main(how: str, home: Path, *what: str) -> None:
    ticket, provider, name = what
    async with api.open_hub(home=home, lan=False) as hub:
        began = time.monotonic()
        if how == "open":
            async with hub.open_tensors(ticket, [name, "*"], providers=[provider]) as tensors:
                found, _ = await anext(tensors)
                seconds = time.monotonic() - began
            assert found == name
        else:
            await hub.fetch(ticket, into=home / "got", providers=[provider], tensors=[name])
            seconds = time.monotonic() - began
        print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    how, home, *rest = sys.argv[1:]
    trio.run(_main, how, Path(home), *rest)
