"""Run the real Hugging Face clients as users do: each in a process, with its own cache and without the user's settings.

    client = HfClient(folder, endpoint=hub.url)         # client.cache is its HF_HUB_CACHE
    client.hf("download", "acme/mini")                  # the command; returns what it printed
    client.python("print(json.dumps(...))")             # a script; returns the value that its last line is the JSON of
    client.offline()                                    # the same cache, and clients that may ask nobody

They read their settings when they are imported, so another cache or endpoint takes another process.
Needs the extra `hf` (`make test-hf`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

CLIENT_S = 120.0
"""How long a client may take: importing one takes seconds on a busy machine."""

OLDER = "OLDER_HF_CLIENTS"
"""Names the interpreter of an environment with an older huggingface_hub: `make test-hf` makes one."""

USERS_OWN = ("HF_", "HUGGING", "TRANSFORMERS_", "XDG_CACHE_HOME", "P2PHUB_")
"""What names the settings that a user may have."""

SCRIPT = """
import json, sys, warnings
from pathlib import Path
import huggingface_hub
from huggingface_hub import hf_hub_download, scan_cache_dir, snapshot_download
"""
"""What stands before each script."""


def older_clients() -> str | None:
    """Return the interpreter of the environment with older clients, None if nobody made one."""
    return os.environ.get(OLDER)


class ClientFailed(AssertionError):
    """A client ended with an error. The message is what it wrote to stderr, whose last line names an exception."""


@dataclass(frozen=True)
class HfClient:
    """A user of the hub at `endpoint`, whose home is `folder`. `settings` are more variables of the environment."""

    folder: Path
    endpoint: str
    settings: Mapping[str, str] = field(default_factory=dict)
    interpreter: str = sys.executable
    """Of the environment whose clients they are."""

    @property
    def cache(self) -> Path:
        return self.folder / "hub"

    def offline(self) -> HfClient:
        """Return the same user, whose clients are told to ask nobody. The hub sees whether they do."""
        return replace(self, settings={**self.settings, "HF_HUB_OFFLINE": "1"})

    @property
    def environment(self) -> dict[str, str]:
        """What a process takes to use this cache, and to ask nobody but the hub."""
        return {
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(self.folder),
            "HF_HUB_CACHE": str(self.cache),
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            "NO_PROXY": "127.0.0.1",
            "NO_COLOR": "1",
            **self.settings,
        }

    def hf(self, *words: str | Path) -> str:
        """Run the command `hf`. Raises ClientFailed."""
        return self._run([str(Path(self.interpreter).parent / "hf"), *map(str, words)])

    def python(self, code: str, *arguments: str) -> Any:
        """Run a script after `SCRIPT`; return what the last line of its output is the JSON of. Raises ClientFailed."""
        return json.loads(self._run([self.interpreter, "-c", SCRIPT + code, *arguments]).splitlines()[-1])

    def file(self, path: Path, *arguments: str) -> Any:
        """Run a program of ours that uses the clients; the rest as `python`."""
        return json.loads(self._run([self.interpreter, str(path), *arguments]).splitlines()[-1])

    def _run(self, command: list[str]) -> str:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(USERS_OWN)}
        ran = subprocess.run(
            command,
            env=kept | self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=CLIENT_S,
            check=False,
        )
        if ran.returncode != 0:
            raise ClientFailed(f"{command[0]} exited with {ran.returncode}\n{ran.stdout}{ran.stderr}")
        return ran.stdout
