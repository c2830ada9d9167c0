"""`python -m simnet.models`: see `simnet.models.command`."""

import sys

from simnet.extra import run_command

if __name__ == "__main__":
    sys.exit(run_command("simnet.models.command"))
