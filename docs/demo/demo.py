"""The main job on real weights, shown: five machines' worth of processes, and none of them is a central host.

Run it with `make demo`. It takes the weights of all-MiniLM-L6-v2 from a Python package, starts a bootstrap node, a
publisher, two bystanders and a fetcher on this machine's loopback, each with a home of its own; publishes the model;
and fetches it with nothing but the bootstrap's address and the reference. Then it compares the two copies, bit for bit
and as `safetensors` reads them, says what moved, from whom and how fast, starts a node where it came to, whose page
shows it, and takes everything away again: at once, or, with `make demo KEEP=1`, when it is told to.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table
from safetensors import safe_open

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # The processes are started as the end-to-end tests start them.

from tests.support.models import tree_digest  # noqa: E402
from tests.support.processes import Event, Process, Scene, SceneFailed  # noqa: E402
from tests.support.real_model import PACKAGE, NoModel, real_model  # noqa: E402

FETCH_S = 300.0

# Wide enough for peer ids where nobody measures.
console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)


def main() -> int:
    """Run the demo. Returns the exit code: 0 if every byte arrived, 1 if not, 130 if interrupted."""
    parser = argparse.ArgumentParser(prog="make demo", description="Publish and fetch a real model on five nodes.")
    parser.add_argument("--keep", action="store_true", help="leave the folder with both copies, homes and logs")
    parser.add_argument("--stay", action="store_true", help="leave the nodes running, to be looked at, until Ctrl-C")
    parser.add_argument("--model", type=Path, metavar="DIR", help="a model with safetensors, in place of the real one")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # As an exception, so that what was started is ended.

    folder = Path(tempfile.mkdtemp(prefix="p2phub-demo-"))
    try:
        with Scene(folder) as scene:
            try:
                page = play(scene, options.model)
                show_page(page, stays=options.stay)
                if options.stay:
                    wait_for_the_end()
            except (SceneFailed, NoModel) as failure:
                # The first line says what went wrong; the tails that follow in the message are among all logs.
                console.print(_plain(scene.logs()), soft_wrap=True)
                what = str(failure).partition("\n")[0]
                console.print(f"[bold red]The demo failed.[/] {_plain(what)}", soft_wrap=True)
                return 1
    except KeyboardInterrupt:
        console.print("\nInterrupted; everything that was started is ended.")
        return 130
    finally:
        if options.keep:
            console.print(f"Kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return 0


def play(scene: Scene, model: Path | None) -> str:
    """Publish on one node, fetch on another, compare; return where the page of the other's node stands.

    Raises SceneFailed if anything is not as promised.
    """
    step("1", "Real weights")
    given = model or real_model(say)
    source = scene.folder / (given.name if model else "all-MiniLM-L6-v2")
    # Dot files are the repository's, not the model's.
    shutil.copytree(given, source, ignore=shutil.ignore_patterns(".*"))
    tensors = sorted(source.glob("*.safetensors"))
    if not tensors:
        raise SceneFailed(f"{given} has no safetensors file")
    origin = given if model else f"the Python package {PACKAGE}"
    say(f"{len(tree_digest(source))} files, {megabytes(size_of(source))}, from {origin}")

    step("2", "Five nodes, as five processes, each with a home of its own")
    bootstrap = scene.node("bootstrap")
    say(f"bootstrap    {bootstrap.peer_id}  at {bootstrap.address}")
    publisher = scene.node("publisher", bootstrap=[bootstrap.address])
    bystanders = [scene.node(f"bystander{number}", bootstrap=[bootstrap.address]) for number in (1, 2)]
    for node, title in ((publisher, "publisher "), (bystanders[0], "bystander1"), (bystanders[1], "bystander2")):
        say(f"{title}   {node.peer_id}  process {node.pid}")
    names = {bootstrap.peer_id: "bootstrap", publisher.peer_id: "publisher"}
    names |= {node.peer_id: f"bystander{number}" for number, node in enumerate(bystanders, 1)}

    step("3", "Publish: hashed in place, signed, announced")
    published = scene.publish("publisher", source, name="minilm")
    reference = str(published["reference"])
    say(f"p2phub publish {source.name} --name minilm", f"-> {reference}")
    say(f"{published['files']} files, {megabytes(published['bytes'])} in {published['seconds']:.2f} s")

    step("4", "Fetch: told only the bootstrap's address and the reference")
    into = scene.folder / "fetched"
    began = time.monotonic()
    fetch = scene.start_fetch("fetcher", reference, into, bootstrap=[bootstrap.address])
    say(f"p2phub fetch {reference} --into {into.name} --bootstrap {bootstrap.address}")
    done = watch(fetch)
    whole_s = time.monotonic() - began

    step("5", "Is it the same?")
    compare(source, into)
    show_tensor(source / tensors[0].name, into / tensors[0].name)

    step("6", "What moved, from whom, how fast")
    show_sources(fetch, done, names)
    say(f"{megabytes(done['bytes_received'])} in {done['seconds']:.2f} s; the whole command took {whole_s:.2f} s")
    console.print("\n[bold green]Done:[/] a real model went from one node to another, with no central host.")

    step("7", "A node where it came to, and its page")
    node = scene.node("fetcher", "--gateway", "127.0.0.1:0", bootstrap=[bootstrap.address])
    token = scene.gateway_token("fetcher")
    return f"{node.ready['gateway']}/#token={token}"


def show_page(page: str, *, stays: bool) -> None:
    """Say where the page stands: whoever has the token behind the `#` may change something through it."""
    say(page)
    if stays:
        say("All nodes go on until Ctrl-C; then everything is taken away.")
    else:
        say("It ends with this demo: `make demo KEEP=1` leaves it running, to be looked at.")


def wait_for_the_end() -> None:
    """Return at Ctrl-C."""
    try:
        while True:
            signal.pause()
    except KeyboardInterrupt:
        console.print("\nThe nodes are ended.")


def watch(fetch: Process) -> Event:
    """Show a fetch's progress until it is done: a bar on a terminal, a line for each quarter otherwise."""
    bar = Progress(
        TextColumn("   verified"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    done: Event | None = None
    total, quarters = 1, 0
    with bar:
        task = bar.add_task("fetch", total=None)
        for event in fetch.until("done", "failed", timeout_s=FETCH_S):
            match event["event"]:
                case "started":
                    total = max(1, event["bytes_total"])
                    bar.update(task, total=total, completed=event["bytes_held"])
                case "source":
                    say(f"found {event['peer_id']} ({event['via']}) at {event['address']}")
                case "progress":
                    bar.update(task, completed=event["bytes_verified"])
                    if not console.is_terminal and 4 * event["bytes_verified"] // total > quarters:
                        quarters = 4 * event["bytes_verified"] // total
                        say(f"verified {megabytes(event['bytes_verified'])} of {megabytes(total)}")
                case "peer_dropped":
                    say(f"dropped {event['peer_id']}: {event['reason']}")
                case "done":
                    done = event
    if done is None:
        raise fetch.failed("the fetch did not complete")
    code = fetch.finish(timeout_s=30)
    if code != 0:
        raise fetch.failed(f"said done, then exited with {code}")
    return done


def compare(source: Path, fetched: Path) -> None:
    """Compare the two folders file by file. Raises SceneFailed if they differ in anything."""
    expected, found = tree_digest(source), tree_digest(fetched)
    differing = sorted(name for name in expected | found if expected.get(name) != found.get(name))
    if differing:
        raise SceneFailed(f"these files differ: {', '.join(differing)}")
    say(f"all {len(found)} files are equal, bit for bit (SHA-256 of each)")


def show_tensor(source: Path, fetched: Path) -> None:
    """Load a tensor of both files with `safetensors` and show that they are equal. Raises SceneFailed if not."""
    with safe_open(source, framework="numpy") as before, safe_open(fetched, framework="numpy") as after:
        name = max(before.keys(), key=lambda each: int(np.prod(before.get_slice(each).get_shape())))
        expected, found = before.get_tensor(name), after.get_tensor(name)
    if not (expected.dtype == found.dtype and np.array_equal(expected, found)):
        raise SceneFailed(f"tensor {name} differs from the source")
    first = ", ".join(f"{value:.4f}" for value in found.ravel()[:4])
    say(f"{name} {list(found.shape)} {found.dtype}: [{first}, ...] equals the source")


def show_sources(fetch: Process, done: Event, names: dict[str, str]) -> None:
    """Show a table of who sent how much, and how it was found."""
    ways = {event["peer_id"]: event["via"] for event in fetch.events if event["event"] == "source"}
    table = Table("node", "peer id", "via", "bytes", "rate")
    for source in done["sources"]:
        peer = str(source["peer_id"])
        rate = source["bytes"] / done["seconds"] if done["seconds"] else 0.0
        table.add_row(names.get(peer, "?"), peer, ways.get(peer, "?"), f"{source['bytes']:,}", f"{megabytes(rate)}/s")
    console.print(table)


def size_of(folder: Path) -> int:
    """Return the bytes of all files under `folder`."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def megabytes(count: float) -> str:
    """Write a number of bytes for people: MB are 10^6."""
    return f"{count / 1e6:.1f} MB"


def step(number: str, title: str) -> None:
    """Print the title of one step."""
    console.print(f"\n[bold cyan]{number}[/] [bold]{title}[/]")


def say(*lines: str) -> None:
    """Print plain lines under a title, never broken: references are there to be copied."""
    for line in lines:
        console.print(f"   {_plain(line)}", soft_wrap=True)


def _plain(text: object) -> str:
    """Return text in which rich sees no markup."""
    return str(text).replace("[", "\\[")


if __name__ == "__main__":
    sys.exit(main())
