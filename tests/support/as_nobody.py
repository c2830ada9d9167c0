"""`python -m tests.support.as_nobody WORDS…`: be `p2phub WORDS…` as the user nobody, where root runs the tests.

All modules are loaded before, since the interpreter may stand where nobody may not look; so nothing is executed anew.
From then on the process has the rights of that user alone.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
from typing import NoReturn

NOBODY = 65534


def main() -> NoReturn:
    import p2phub

    for module in pkgutil.walk_packages(p2phub.__path__, "p2phub."):
        if not module.name.endswith("__main__") and "libp2p" not in module.name:  # Which no place needs.
            importlib.import_module(module.name)
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    os.environ["HOME"] = "/"

    from p2phub.cli.main import program

    program()


if __name__ == "__main__":
    main()
