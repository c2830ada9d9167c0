"""`p2phub completion`: what a shell needs to complete command lines; and the call by which it then asks.

What is installed is a few lines that ask p2phub itself, by `__complete` and the words so far: it answers a candidate a
line, with a tab and what it is for, or `:files` or `:folders`. Names of what is held here are looked up only where one
may stand. A TAB never makes a home, and never waits for long.
"""

from __future__ import annotations

import os
from argparse import ArgumentParser
from collections.abc import Iterable, Mapping, Sequence

from p2phub import api
from p2phub.cli.command import Command, Invocation
from p2phub.cli.options import take_common
from p2phub.cli.output import Output
from p2phub.cli.parser import Parser, only_options_parser
from p2phub.errors import HubError

_WAIT_S = 3.0

BASH = """\
# p2phub in bash. In ~/.bashrc:  source <(p2phub completion bash)
_p2phub() {
    local line="${COMP_LINE:0:COMP_POINT}" last found word kept IFS
    local -a words
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    last="${words[-1]}"
    # Bash takes what follows @, : or = for a word of its own, and replaces that alone.
    kept="${last%"${last##*[@:=]}"}"
    IFS=$'\\n'
    COMPREPLY=()
    for found in $(p2phub __complete "${words[@]:1}" 2>/dev/null); do
        word="${found%%$'\\t'*}"
        case $word in
        :files) compopt -o filenames; COMPREPLY+=($(compgen -f -- "${last#"$kept"}")) ;;
        :folders) compopt -o filenames; COMPREPLY+=($(compgen -d -- "${last#"$kept"}")) ;;
        *) COMPREPLY+=("${word#"$kept"}") ;;
        esac
    done
}
complete -F _p2phub p2phub
"""

ZSH = """\
#compdef p2phub
# p2phub in zsh. In ~/.zshrc, after compinit:  source <(p2phub completion zsh)
_p2phub() {
    local found word
    local -a described
    for found in "${(@f)$(p2phub __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
        word="${found%%$'\\t'*}"
        case $word in
        '') ;;
        :files) _files ;;
        :folders) _files -/ ;;
        *) described+=("${word//:/\\\\:}:${found#*$'\\t'}") ;;
        esac
    done
    if (( $#described )); then _describe -t words p2phub described; fi
}
if [[ $funcstack[1] == _p2phub ]]; then _p2phub "$@"; else compdef _p2phub p2phub; fi
"""

FISH = """\
# p2phub in fish. In ~/.config/fish/completions/p2phub.fish:  p2phub completion fish | source
function __p2phub_words
    set -l words (commandline -opc) (commandline -ct)
    for found in (p2phub __complete $words[2..-1] 2>/dev/null)
        switch $found
            case ':files*'
                __fish_complete_path (commandline -ct)
            case ':folders*'
                __fish_complete_directories (commandline -ct)
            case '*'
                echo $found
        end
    end
end
complete -c p2phub -f -a '(__p2phub_words)'
"""

SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("shell", choices=tuple(SCRIPTS), help="which shell is to complete")


async def run(call: Invocation) -> int:
    script = SCRIPTS[call.args.shell]
    call.output.object("completion", {"shell": call.args.shell, "script": script})
    call.output.say(*script.splitlines(), whole=True)
    return 0


def complete(parser: Parser, words: Sequence[str], output: Output) -> int:
    """Answer a shell: what may stand in the place of the last of `words`."""
    from p2phub.cli.words import candidates

    found = candidates(parser, words or [""], held_references)
    output.answer(*(f"{each.word}\t{each.about}" for each in found))
    return 0


def held_references(words: Sequence[str]) -> Iterable[str]:
    """Return what leads to something in the home that the words, or the environment, name: what is held there, and the
    user's own names. Nothing where there is no home."""
    try:
        common, _ = take_common(words, only_options_parser(), os.environ)
        if not api.has_home(home=common.home):
            return []
        import trio  # Only here, since a TAB is waited for.

        return trio.run(_held, common.home)
    except HubError:
        return []


async def _held(home: str | None) -> list[str]:
    import trio

    found: list[str] = []
    with trio.move_on_after(_WAIT_S):
        async with api.open_hub(home=home, lan=False) as hub:
            names = await hub.names()
            for item in await hub.ls():
                found += [each for held in item["references"] for each in (held, *_by_own_names(held, names))]
            found += [alias for alias in names if "/" in alias]  # Of a repository, which need not be held.
    return list(dict.fromkeys(api.printable(each) for each in found))


def _by_own_names(reference: str, names: Mapping[str, str]) -> list[str]:
    """Return the same reference, by each name that the user gave to its publisher."""
    publisher, slash, rest = reference.partition("/")
    return [f"{alias}/{rest}" for alias, target in names.items() if slash and target == publisher]


COMMAND = Command("completion", "complete command lines in bash, zsh and fish", add_arguments, run)
