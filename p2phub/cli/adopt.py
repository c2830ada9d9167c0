"""`p2phub adopt [hf|ollama|llamacpp|lmstudio|DIR]…`: hold what other programs have on this disk, where it stands."""

from __future__ import annotations

import shlex
from argparse import ArgumentParser
from typing import Any

from p2phub import api
from p2phub.cli.command import Command, Invocation
from p2phub.cli.progress import open_progress
from p2phub.cli.sizes import duration, plural, size

PROBLEMS_SHOWN = 10
COMMIT_SHOWN = 12
NAMES_SHOWN = 5


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "caches",
        metavar="hf|ollama|llamacpp|lmstudio|DIR",
        nargs="*",
        help="which caches, or the folder of a cache or of a model; all that are found where they usually are",
    )
    parser.add_argument(
        "--announce",
        metavar="NAME|all",
        action="append",
        default=[],
        help="announce and serve this repository (may be repeated), or all that is found; without it nothing is. "
        "CACHE:NAME is that of one cache, CACHE:NAME@COMMIT one commit of it",
    )


async def run(call: Invocation) -> int:
    output = call.output
    told: list[api.Adopted] = []
    with open_progress(output, verbose=call.common.verbose) as progress:
        progress.begin("Looking")
        hashing = False

        def watch(event: api.Event) -> None:
            nonlocal hashing
            output.event(event)
            if isinstance(event, api.PublishProgress):
                if not event.files:
                    return  # It was all known already, or there is nothing.
                if not hashing:
                    hashing = True
                    progress.begin(f"Hashing {plural(event.files, 'file')}", total=event.bytes_total)
                progress.advance(event.bytes_hashed)
            elif isinstance(event, api.Adopted):
                told.append(event)

        async with call.open_hub() as hub:
            result = await hub.adopt(*call.args.caches, announce=call.args.announce, watch=watch)
    output.object("adopt", result)
    _show(call, told, result)
    return 0


def _show(call: Invocation, told: list[api.Adopted], result: dict[str, Any]) -> None:
    output = call.output
    held = [each for each in told if each.files]
    if not held:
        output.say("Nothing of what was found can be adopted." if told else "Nothing to adopt was found.")
        if not told and not call.args.caches:
            output.note("The usual places of other programs were looked at; `p2phub adopt DIR` looks at a folder.")
    for each in held:
        output.say(*_lines(each))
    if held:
        new = result["bytes_hashed"]
        read = f"; {size(new)} of it read" if new else "; it was known already"
        output.say(
            f"Adopted {plural(len(held), 'model')}, {size(result['bytes'])}, in {duration(result['seconds'])}{read}."
            " Nothing was copied."
        )
    if result["gone"]:
        output.note(f"{plural(len(result['gone']), 'model')} adopted before is not there any more, and is forgotten.")
    output.note_some([f"{each['path']}: {each['why']}" for each in result["problems"]], PROBLEMS_SHOWN)
    kept = [each for each in held if not each.announced]
    new = [each for each in kept if each.announced_before]
    again = shlex.join(["p2phub", "adopt", *call.args.caches])
    if new:
        output.note(
            "Only what you announced before of these is announced. What was found of them now stays here until you"
            " name them again:",
            *(f"  {again} --announce {name}" for name in _names(new, told)[:NAMES_SHOWN]),
        )
    elif kept and not call.args.announce:
        output.note(
            "What is kept here stays here: a cache does not say what was gated or private. To give of it:",
            f"  {again} --announce {_names(kept, told)[0]}     or --announce all",
        )
    _tell_commits(call, held)


def _names(models: list[api.Adopted], told: list[api.Adopted]) -> list[str]:
    """Return how to name each of `models`, once, so that it means nothing of another cache."""
    caches: dict[str, set[str]] = {}
    for each in told:
        caches.setdefault(each.name, set()).add(each.cache)
    named = (each.name if len(caches[each.name]) == 1 else f"{each.cache}:{each.name}" for each in models)
    return [shlex.quote(name) for name in dict.fromkeys(named)]


def _tell_commits(call: Invocation, held: list[api.Adopted]) -> None:
    """Say of a name that was to be announced which commits that was, if they are several."""
    for name in call.args.announce:
        commits = [
            each
            for each in held
            if each.revision is not None and each.announced and name in (each.name, f"{each.cache}:{each.name}")
        ]
        if len(commits) > 1:
            shown = api.some_of([str(each.revision)[:COMMIT_SHOWN] for each in commits], most=NAMES_SHOWN)
            call.output.note(
                f"{name} was found at {len(commits)} commits, and all are announced: {shown}. One alone is named"
                f" {commits[0].cache}:{commits[0].name}@{str(commits[0].revision)[:COMMIT_SHOWN]}"
            )


def _lines(each: api.Adopted) -> list[str]:
    revision = f" at {each.revision[:COMMIT_SHOWN]}" if each.revision is not None else ""
    shared = "announced" if each.announced else "kept here"
    if each.complete:
        return [
            f"{each.name}{revision}: {plural(each.files, 'file')}, {size(each.bytes)}, {shared}",
            f"  manifest  {each.manifest}",
        ]
    what = f"{each.name}{revision}, not whole: {plural(each.files, 'file')} of it alone, {size(each.bytes)}, {shared}"
    return [what, *(f"  {file['manifest']}  {file['path']}" for file in each.alone)]


COMMAND = Command(
    "adopt",
    "hold what Hugging Face, Ollama, llama.cpp or LM Studio have here, where it stands",
    add_arguments,
    run,
    description="Nothing is copied, moved or changed, and nothing is announced that you do not name.",
    interrupted="what was hashed is remembered; the same command goes on",
)
