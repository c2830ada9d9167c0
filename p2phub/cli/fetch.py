"""`p2phub fetch REF`: find it, fetch it from whoever has it, and end when every byte is verified and on disk."""

from __future__ import annotations

import re
import signal
from argparse import ArgumentParser, Namespace
from collections.abc import Collection

from p2phub import api
from p2phub.cli.arguments import Arguments, add_allow_unsafe, add_sources, check_mirrors, check_providers, check_wait
from p2phub.cli.command import Command, Invocation
from p2phub.cli.output import Output
from p2phub.cli.progress import Progress, open_progress
from p2phub.cli.selecting import add_repeated, add_selection, patterns_explained, selection, unmatched_line
from p2phub.cli.sizes import duration, plural, size
from p2phub.errors import UsageError

_NUMBERS = re.compile(r"\d+")
READY_LINES_MAX = 10  # Of a dataset in order there would be thousands; a program reads --json.


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("ref", metavar="REF", help="PUBLISHER/name[@tag], petname/name, a manifest digest, or a ticket")
    _add_destination(parser.add_argument_group("where to"))
    add_selection(parser.add_argument_group("which parts of it (all, if nothing is said)"))
    _add_order(parser.add_argument_group("what comes first"))
    whence = parser.add_argument_group("from whom, and how long to wait")
    add_sources(whence)
    _add_patience(whence)
    _add_sharing(parser.add_argument_group("what others get of it"))
    add_allow_unsafe(parser.add_argument_group("safety"))


def _add_patience(group: Arguments) -> None:
    """Add what is done while others are busy, or nobody is there."""
    group.add_argument(
        "--background", action="store_true", help="yield to the node's other fetches: get what they leave"
    )
    group.add_argument(
        "--wait",
        metavar="DURATION",
        help="while nobody is there who has it, wait so long for somebody: 30s, 10m, 24h or forever "
        "(default: a minute for those who were there and may be back)",
    )


def _add_destination(group: Arguments) -> None:
    """Add where to: a folder, or another program's store."""
    group.add_argument("--into", metavar="DIR", help="where to (default: a folder here, named after it)")
    group.add_argument("--force", action="store_true", help="replace files in DIR that differ")
    group.add_argument(
        "--link",
        action="store_true",
        help="give files that this home has in another of your folders, or in its own store, a further name (a hard "
        "link) in place of a copy: it takes no room, but whoever EDITS such a file by one name changes it under the "
        "other too; files of other programs, programs, and what is on another file system are copied as ever",
    )
    group.add_argument(
        "--to",
        choices=("hf-cache", "ollama"),
        help="in place of --into: where the Hugging Face tools find it offline, or Ollama does",
    )
    group.add_argument(
        "--as",
        dest="name",
        metavar="NAME",
        help="with --to: what to call it there, ORG/NAME or HOST/NAMESPACE/MODEL:TAG (default: as it is called here)",
    )
    group.add_argument("--branch", metavar="NAME", help="with --to hf-cache: which branch leads to it (default: main)")


def _add_sharing(group: Arguments) -> None:
    """Add what others get of it."""
    group.add_argument("--no-serve", action="store_true", help="do not serve to others what was fetched")
    group.add_argument("--seed", action="store_true", help="go on serving when it is done, until Ctrl-C")
    group.add_argument(
        "--no-exchange", action="store_true", help="neither ask peers who else fetches this, nor be named to others"
    )


def _add_order(group: Arguments) -> None:
    """Add what comes before the rest."""
    add_repeated(
        group,
        "--first",
        "GLOB",
        "fetch files that match before all others, in gitignore syntax with at most two stars ('config.json', "
        "'*.index.json'); may be repeated, in the order in which they are wanted",
    )
    group.add_argument(
        "--in-order", action="store_true", help="fetch the rest from front to back, to read it while it comes"
    )


async def run(call: Invocation) -> int:
    args, output = call.args, call.output
    check_wait(args.wait)
    check_providers(args.provider)
    check_mirrors(args.mirror)
    if args.seed and args.no_serve:
        raise UsageError("--seed and --no-serve say the opposite of each other", hint="leave one of them out")
    _check_to(args)
    async with call.open_hub() as hub:
        with open_progress(output, verbose=call.common.verbose) as progress:
            if call.common.verbose and not hub.transient:
                output.note("The node of this home does the work: `p2phub node -v` logs whom it asks and dials.")
            progress.begin("Looking for it")
            view = View(output, progress, tensors=args.tensor)
            if args.to is not None:
                done = await hub.give(
                    args.ref,
                    args.to,
                    name=args.name,
                    branch=args.branch or "main",
                    providers=args.provider,
                    mirrors=args.mirror,
                    serve=not args.no_serve,
                    exchange=not args.no_exchange,
                    background=args.background,
                    wait=args.wait,
                    allow_unsafe=args.allow_unsafe,
                    watch=view.show,
                )
            else:
                with patterns_explained(args):
                    done = await _fetch(hub, args, view)
        output.event(done)
        show_done(output, done)
        if args.to is not None:
            output.say(*how_to_use(args.to, done.path, branch=args.branch))
        if args.seed and hub.transient:  # Else it is served by the daemon, which fetched it.
            await _seed(output, view.addresses, done.path)
    return 0


def _check_to(args: Namespace) -> None:
    """Raise UsageError for what does not go together."""
    if args.to is None:
        if args.name is not None or args.branch is not None:
            raise UsageError("--as and --branch go with --to", hint="add --to hf-cache")
        return
    alone = ("into", "force", "first", "in_order", "include", "exclude", "tensor", "columns", "row_groups", "link")
    given = next((name for name in alone if getattr(args, name)), None)
    if given is not None:
        raise UsageError(f"--{given.replace('_', '-')} does not go with --to", hint="leave one of them out")


async def _fetch(hub: api.Hub, args: Namespace, view: View) -> api.Done:
    return await hub.fetch(
        args.ref,
        into=args.into,
        providers=args.provider,
        mirrors=args.mirror,
        force=args.force,
        serve=not args.no_serve,
        exchange=not args.no_exchange,
        background=args.background,
        first=args.first,
        in_order=args.in_order,
        wait=args.wait,
        **selection(args),
        allow_unsafe=args.allow_unsafe,
        link=args.link,
        watch=view.show,
    )


async def _seed(output: Output, addresses: list[str] | None, path: str) -> None:
    """Go on serving what stands in `path` at `addresses` until stopped. None: it is not for others; empty: no port
    could be opened."""
    if addresses is None:
        output.note("It is not served: it is private, or was fetched by its digest, which does not say for whom it is.")
    elif not addresses:
        output.note("It is not served: nobody can reach this node, for no port could be opened.")
    else:
        output.note("Serving it to others, who can dial", *(f"  {each}" for each in addresses), "Ctrl-C stops that.")
        await _until_stopped()
        output.note(f"Stopped: it is not served to others any more. What was fetched stays in {path}")


async def _until_stopped() -> None:
    """Wait for SIGINT or SIGTERM, which are how serving ends, and no interruption."""
    import trio  # Here, so that --help does without.

    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            return


class View:
    """Shows a fetch as it goes: a bar with the number of sources, and a line for whatever a user may wonder about.

    `tensors`: the patterns among those given that choose tensors.
    """

    def __init__(self, output: Output, progress: Progress, *, tensors: Collection[str] = ()) -> None:
        self._tensors = tensors
        self._output = output
        self._progress = progress
        self._sources: set[str] = set()
        self._named: set[str] = set()  # Those that were told of: who comes and goes is counted, and named once.
        self._dropped: dict[str, str] = {}  # Why each went last: what never comes up is tried often, and told once.
        self.addresses: list[str] | None = None  # Where others can have it meanwhile, once that is known.
        self._ready_lines = 0
        self._verified = 0
        self._waits_for: tuple[str, str] | None = None  # The wait that was told: why, without how long, and what next.

    def show(self, event: api.Event) -> None:
        self._output.event(event)
        progress = self._progress
        match event:
            case api.Started():
                if event.bytes_total and event.bytes_held == event.bytes_total:
                    progress.note(f"All {size(event.bytes_total)} are here already: nothing is fetched")
                else:
                    if event.bytes_held:
                        progress.note(f"{size(event.bytes_held)} of {size(event.bytes_total)} are here already")
                    progress.begin("Fetching", total=event.bytes_total, done=event.bytes_held)
                self._count()
            case api.Source():
                self._sources.add(event.peer_id)
                if event.peer_id not in self._named:
                    progress.note(f"From {event.peer_id} ({event.via}) at {event.address}")
                self._named.add(event.peer_id)
                self._count()
            case api.Listening():
                self.addresses = event.addresses
            case api.SourceLacks():
                progress.note(f"{event.peer_id} cannot give {event.file}: {event.reason}")
            case api.Progress():
                if event.bytes_verified > self._verified and self._waits_for is not None:
                    self._waits_for = None
                    self._count()
                self._verified = event.bytes_verified
                progress.advance(event.bytes_verified, rate=event.bytes_per_s)
            case api.FilesReady():
                self._show_ready(event.paths)
            case api.FilesLeft():
                progress.note(f"Of an earlier version, and not of this one: {api.some_of(event.paths)}; left there")
            case api.Unmatched():
                progress.note(unmatched_line(event.pattern, is_of_tensors=event.pattern in self._tensors))
            case api.Remark():
                progress.note(f"{event.path} {event.what}")
            case api.PeerDropped():
                self._sources.discard(event.peer_id)
                where = f" (file {event.file}, chunk {event.chunk})" if event.file is not None else ""
                whom = "" if event.peer_id in event.reason else f" {event.peer_id}"  # Once is enough.
                if self._dropped.get(event.peer_id) != event.reason:
                    progress.note(f"Dropped{whom}: {event.reason}{where}")
                self._dropped[event.peer_id] = event.reason
                self._count()
            case api.Waiting():
                self._show_waiting(event)

    def _show_waiting(self, event: api.Waiting) -> None:
        """Print a line of a wait that is news; of one that only lasts, which is told every few seconds, none that
        stays."""
        if (about := (_NUMBERS.sub("", event.reason), event.next)) == self._waits_for:
            self._progress.detail(event.reason)
        else:
            self._waits_for = about
            self._progress.note(f"Waiting: {event.reason}; {event.next}")

    def _show_ready(self, paths: list[str]) -> None:
        if self._ready_lines < READY_LINES_MAX:
            self._ready_lines += 1
            self._progress.note(f"Ready: {api.some_of(paths)}")

    def _count(self) -> None:
        self._progress.detail(plural(len(self._sources), "source") if self._sources else "")


def show_done(output: Output, done: api.Done) -> None:
    reused = f", {size(done.bytes_reused)} were here already" if done.bytes_reused else ""
    rate = f" ({size(done.bytes_received / done.seconds)}/s)" if done.bytes_received and done.seconds > 0 else ""
    output.say(f"Done: {size(done.bytes_received)} in {duration(done.seconds)}{rate}, every byte verified{reused}")
    output.say(*(f"  {size(source.bytes):>9} from {source.peer_id}" for source in done.sources))
    output.say(done.path, whole=True)


def how_to_use(program: str, path: str, *, branch: str | None) -> list[str]:
    """Return how the program is told to use what was put at `path`: Ollama's manifest, or a snapshot of a cache."""
    if program == "ollama":  # …/manifests/HOST/NAMESPACE/MODEL/TAG
        *name, tag = path.split("/")[-4:]
        return ["Run it:", f"  ollama run {'/'.join(name)}:{tag}"]
    kind, _, repo = path.split("/")[-3].partition("--")  # …/models--ORG--NAME/snapshots/COMMIT
    what = "load_dataset" if kind == "datasets" else "from_pretrained"
    revision = f', revision="{branch}"' if branch is not None else ""
    return ["Load it, with HF_HUB_OFFLINE=1 set:", f'  {what}("{repo.replace("--", "/")}"{revision})']


COMMAND = Command(
    "fetch",
    "find it, fetch it, verify every byte",
    add_arguments,
    run,
    interrupted="what was verified stays; the same command resumes",
)
