"""What the help of each command says beside its options: examples, files, exit codes of its own, and where to go on.

One place for all, so that they are told alike. A test has every example read by the parser that reads what users type.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

ALWAYS_CODES = {
    1: "a bug in p2phub",
    2: "words, options or settings that make no sense",
    3: "nobody who was asked knows it, or it is not here",
    4: "not trusted: a signature, key or release does not hold",
    5: "damaged: bytes are not what was signed",
    6: "disk: full, read-only, in the way",
    7: "no provider can be reached, or the node of this home went away",
    130: "interrupted; the same command goes on",
}
_EVERY = (1, 2, 6, 7, 130)
"""Codes with which any command may end."""

_NETWORK = (3, 4, 5)
_LABEL_COLUMNS = 20


class Example(NamedTuple):
    line: str
    about: str


class Manual(NamedTuple):
    """`codes`: beside 0 and those of every command, by number: what it means here, or None for what it means always."""

    examples: Sequence[Example]
    see_also: Sequence[str]
    codes: Sequence[int] = ()
    files: Sequence[tuple[str, str]] = ()
    done: str = "done"


_KEYS = ("HOME/keys/", "publisher.pem: who you are; node.pem: which machine this is")
_CONFIG = ("HOME/config.toml", "settings, see docs/configuration.md")
_OWN = ("HOME/files/", "the home's own store: what pin fetches")

MANUALS: dict[str, Manual] = {
    "init": Manual(
        [Example("p2phub init", "make the keys if there are none")],
        ["p2phub key", "p2phub publish"],
        codes=[4],
        files=[_KEYS],
    ),
    "node": Manual(
        [
            Example("p2phub node", "announce and serve until Ctrl-C"),
            Example("p2phub node --gateway", "with a page in the browser, and for Hugging Face tools, OCI and Ollama"),
            Example("p2phub node --metrics 127.0.0.1:7701 --log-json", "as a service, watched by Prometheus"),
        ],
        [
            "p2phub status",
            "p2phub limit",
            "p2phub doctor",
            "docs/guides/huggingface.md",
            "docs/guides/page.md",
            "docs/guides/oci.md",
            "docs/operations/README.md",
        ],
        codes=[4],
        files=[
            _CONFIG,
            _KEYS,
            ("HOME/keys/gateway.token", "what opens the gateway from elsewhere, and to changes"),
            ("HOME/keys/upstream.token", "yours: what is shown to the upstream hub, and to nobody else"),
        ],
        done="stopped by Ctrl-C or SIGTERM",
    ),
    "publish": Manual(
        [
            Example("p2phub publish ./minilm --name minilm", "hash in place, sign, print the reference"),
            Example("p2phub publish ./minilm --name minilm --dry-run", "only say what would be published"),
            Example("p2phub publish ./tuned --name tuned --parent finetune=alice/minilm", "name what it was made of"),
            Example("p2phub publish ./secret --name secret --private --allow 12D3KooW…", "for one node alone"),
        ],
        ["p2phub node", "p2phub unpublish", "p2phub info"],
        codes=[3, 4, 5, 7],
        files=[("DIR/.p2phubignore", "what to leave out, in gitignore's syntax"), _KEYS],
    ),
    "fetch": Manual(
        [
            Example("p2phub fetch 12D3KooW…/minilm --into ./minilm", "find it, fetch it, verify every byte"),
            Example("p2phub fetch alice/llama --include '*.json'", "only some of its files"),
            Example("p2phub fetch alice/llama --tensor '*layers.0.*'", "only some of its tensors"),
            Example("p2phub fetch alice/llama --wait 24h", "wait for somebody who has it"),
            Example("p2phub fetch alice/llama --to hf-cache --as acme/llama", "where transformers finds it offline"),
        ],
        ["p2phub plan", "p2phub pin", "p2phub status", "p2phub name", "docs/guides/near.md"],
        codes=_NETWORK,
        files=[("DIR/.p2phub/", "what has come, until all of it has: the same command goes on with it"), _CONFIG],
    ),
    "plan": Manual(
        [Example("p2phub plan alice/llama", "say what would move, and from whom"),
         Example("p2phub plan alice/llama --files", "file by file"),
         Example("p2phub plan alice/llama --tensor '*layers.0.*'", "of some of its tensors")],
        ["p2phub fetch", "p2phub diff"],
        codes=_NETWORK,
    ),
    "adopt": Manual(
        [
            Example("p2phub adopt", "hold what other programs have here; nothing is announced"),
            Example("p2phub adopt hf --announce acme/minilm", "and let others have one of them"),
            Example("p2phub adopt /srv/hub", "a cache that stands elsewhere"),
        ],
        ["p2phub ls", "p2phub rm", "p2phub node"],
        codes=[5],
    ),
    "info": Manual(
        [Example("p2phub info alice/llama", "publisher, version, size, files"),
         Example("p2phub info alice/llama --tensors", "down to names, types and shapes")],
        ["p2phub log", "p2phub plan", "p2phub ls"],
        codes=[3, 4, 5],
    ),
    "diff": Manual(
        [Example("p2phub diff alice/llama@v1 alice/llama", "files and tensors that differ, bytes that are new")],
        ["p2phub log", "p2phub plan"],
        codes=_NETWORK,
    ),
    "ls": Manual(
        [Example("p2phub ls", "what is held, and which fetches did not end"),
         Example("p2phub ls --json", "the same for scripts")],
        ["p2phub info", "p2phub du", "p2phub fetch"],
    ),
    "search": Manual(
        [Example("p2phub search llama gguf", "what this home holds or has seen by these words"),
         Example("p2phub search sentiment --kind dataset --held", "only datasets that are here")],
        ["p2phub ls", "p2phub info", "p2phub fetch"],
        codes=[4],
    ),
    "log": Manual(
        [Example("p2phub log alice/llama", "its releases, newest first")],
        ["p2phub info", "p2phub diff"],
        codes=[3, 4],
    ),
    "verify": Manual(
        [Example("p2phub verify ./minilm", "read it back and compare every byte"),
         Example("p2phub verify ./minilm --repair", "fetch what is damaged, and only that")],
        ["p2phub fetch", "p2phub doctor"],
        codes=_NETWORK,
    ),
    "unpublish": Manual(
        [Example("p2phub unpublish minilm", "serve it and its earlier versions no longer; its files stay")],
        ["p2phub publish", "p2phub rm"],
        codes=[3],
    ),
    "rm": Manual(
        [Example("p2phub rm alice/llama", "forget it; your files stay")],
        ["p2phub unpublish", "p2phub gc", "p2phub ls"],
        codes=[3],
    ),
    "pin": Manual(
        [Example("p2phub pin alice/llama", "keep it in the home's own store; fetch it if it is not here")],
        ["p2phub unpin", "p2phub gc", "p2phub du", "docs/guides/keeping.md"],
        codes=_NETWORK,
        files=[_OWN, _CONFIG],
    ),
    "unpin": Manual(
        [Example("p2phub unpin alice/llama", "let the next collection have it")],
        ["p2phub pin", "p2phub gc"],
        codes=[3],
    ),
    "gc": Manual(
        [Example("p2phub gc --dry-run", "say what would go"),
         Example("p2phub gc --unfinished", "also what fetches left that did not end")],
        ["p2phub pin", "p2phub du", "docs/guides/keeping.md"],
        files=[_OWN],
    ),
    "du": Manual(
        [Example("p2phub du", "what takes how much, and what is held twice")],
        ["p2phub gc", "p2phub ls"],
    ),
    "share": Manual(
        [Example("p2phub share /mnt/lab/models", "list what is held below it, for other homes"),
         Example("p2phub share /mnt/lab/models --stop", "no longer")],
        ["p2phub attach", "docs/guides/shared.md"],
        codes=[3],
        files=[("PLACE/.p2phub-shared/", "the list that other homes read")],
    ),
    "attach": Manual(
        [Example("p2phub attach /mnt/lab/models", "take from there what another home shares")],
        ["p2phub detach", "p2phub share", "docs/guides/shared.md"],
        codes=[3, 4, 5],
    ),
    "detach": Manual(
        [Example("p2phub detach /mnt/lab/models", "take nothing from there any more")],
        ["p2phub attach"],
        codes=[3],
    ),
    "peers": Manual(
        [Example("p2phub peers", "whom this node knows, and where")],
        ["p2phub status", "p2phub doctor"],
    ),
    "status": Manual(
        [Example("p2phub status", "what the node does: fetches, caps, memory"),
         Example("p2phub status --explain 1", "why fetch 1 is slow, or what it waits for")],
        ["p2phub limit", "p2phub peers", "p2phub doctor"],
        codes=[3],
    ),
    "limit": Manual(
        [Example("p2phub limit --up 5MB --down none", "cap what the node sends, free what it receives"),
         Example("p2phub limit --job 1 --down 2MB", "one fetch alone")],
        ["p2phub status", "docs/guides/caps.md"],
        codes=[3],
        files=[_CONFIG],
    ),
    "name": Manual(
        [Example("p2phub name add alice 12D3KooW…", "so that alice/minilm means theirs"),
         Example("p2phub name add acme/minilm alice/minilm", "what programs ask the gateway for"),
         Example("p2phub name list", "all of them")],
        ["p2phub fetch", "p2phub node"],
        codes=[3],
    ),
    "key": Manual(
        [Example("p2phub key export publisher.pem", "a copy to keep: whoever has it can publish as you"),
         Example("p2phub key import publisher.pem", "publish as you from another machine")],
        ["p2phub init"],
        codes=[4, 5],
        files=[_KEYS],
    ),
    "doctor": Manual(
        [Example("p2phub doctor", "what is wrong, and what to do; it ends with 0 whatever it finds"),
         Example("p2phub doctor --salvage", "keep what can be read of a damaged list of what is held")],
        ["p2phub status", "p2phub verify"],
    ),
    "completion": Manual(
        [
            Example("p2phub completion bash", "in ~/.bashrc: source <(p2phub completion bash)"),
            Example("p2phub completion zsh", "in ~/.zshrc, after compinit: source <(p2phub completion zsh)"),
            Example("p2phub completion fish", "in ~/.config/fish/completions/p2phub.fish: the same | source"),
        ],
        ["p2phub help"],
    ),
}  # fmt: skip


def manual_of(command: str) -> str:
    """Return what stands below the options in a command's help; empty for one that has no page here."""
    manual = MANUALS.get(command)
    return "" if manual is None else "\n".join(_lines(manual))


def _lines(manual: Manual) -> Iterator[str]:
    yield "examples:"
    for example in manual.examples:
        yield f"  {example.line}"
        yield f"      {example.about}"
    if manual.files:
        yield ""
        yield "files (HOME: --home, else ~/.local/share/p2phub on Linux):"
        for name, about in manual.files:
            yield _labelled(name, about)
    yield ""
    yield "exit codes:"
    yield _labelled("0", manual.done, columns=5)
    for code in sorted({*_EVERY, *manual.codes}):
        yield _labelled(str(code), ALWAYS_CODES[code], columns=5)
    yield ""
    yield f"see also: {', '.join(manual.see_also)}"


def _labelled(label: str, about: str, *, columns: int = _LABEL_COLUMNS) -> str:
    return f"  {label:<{columns}}  {about}" if len(label) <= columns else f"  {label}\n  {'':<{columns}}  {about}"
