"""The hub's verbs between us and other programs on this disk: adopt what they have, give them what we hold.

Where those programs keep what they have is looked up here and not by whoever carries the verb out: the environment
that says it is the caller's, and a daemon's is another. The rules of each place are in `store/caches`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

import trio

from p2phub.api.verbs import HubPart, JsonObject, absolute, as_ref, as_wait, done, if_said, several, unwatched
from p2phub.errors import UsageError
from p2phub.observe import Done, Watch


class ProgramVerbs(HubPart):
    """What passes between us and other programs that keep models."""

    async def adopt(
        self,
        *caches: str | Path,
        announce: Sequence[str] = (),
        watch: Watch = unwatched,
    ) -> JsonObject:
        """Hold what other programs have on this disk, where it stands: nothing is copied, moved or changed.

        `caches`: "hf", "ollama", "llamacpp", "lmstudio", or folders (a cache, or one with a model's files); all that
        are where they usually are, if none is named. What is found is hashed once. A repository that is whole gets the
        manifest that everybody gets who adopts it, of others each file of 1 MiB and more is held alone. Nothing of it
        is announced or served to others, now or after a later look, but what `announce` names: NAME of a repository,
        CACHE:NAME, CACHE:NAME@COMMIT, or "all"; that is, as it was found then, until it is gone. `watch` is told of
        Found, PublishProgress and, of each model, Adopted. Returns {"models", "complete" (how many of them are whole),
        "bytes", "bytes_hashed", "gone" (manifests of what had been adopted there and is there no more), "problems"
        ([{"path", "why"}]), "seconds"}. Stopped, the same call goes on. Raises UsageError for a folder that is not
        there, for a name that was not found or means models of several caches, DiskError.
        """
        places = await trio.to_thread.run_sync(_places_of_caches, caches)
        return await self._verbs.call("adopt", {"places": places, "announce": list(announce)}, watch)

    async def give(
        self,
        ref: str,
        to: str,
        *,
        name: str | None = None,
        branch: str = "main",
        place: str | Path | None = None,
        providers: Sequence[str] = (),
        mirrors: Sequence[str] = (),
        serve: bool = True,
        exchange: bool = True,
        background: bool = False,
        wait: str | float | None = None,
        allow_unsafe: bool | None = None,
        watch: Watch = unwatched,
    ) -> Done:
        """Have another program find `ref` as if it had got it itself, and return where: in a Hugging Face cache (`to`
        "hf-cache"), so that `from_pretrained` loads it offline, or in Ollama's store ("ollama").

        What is not held whole is fetched first, into the home's own store. `name`: what to call it there, ORG/NAME,
        for Ollama HOST/NAMESPACE/MODEL:TAG; None: as it is called here. `branch`: which branch is to lead to it.
        `place`: the cache or store, by default where that program keeps it. Where HF_HUB_DISABLE_SYMLINKS is set, or no
        symbolic links can be, files stand in the snapshot themselves, as the Hugging Face tools have it; else no
        snapshot is ever seen in part. Nothing that stands there is replaced but the branch. The rest as for `fetch`,
        `wait` in seconds or as a text; Done's path is the snapshot, or Ollama's manifest, sizes are bytes. Raises
        UsageError, Malformed, NotFound, NotTrusted, Unsafe, NoProvider, Damaged, ChunkMismatch, DiskError, of it
        DiskFull, and Occupied for what stands there under that name and is something else.
        """
        if name is not None:
            _check_name(to, name, branch)
        where = place if place is not None else await trio.to_thread.run_sync(_place_of, to)
        result = await self._verbs.call(
            "give",
            {
                "ref": as_ref(ref),
                "to": to,
                "place": absolute(where),
                "name": name,
                "branch": branch,
                "providers": several(providers),
                "mirrors": several(mirrors),
                "serve": serve,
                "exchange": exchange,
                "up": self._up,
                "down": self._down,
                "background": background,
                **if_said(wait=as_wait(wait), allow_unsafe=allow_unsafe, symlinks=_symlinks_if_said(to)),
            },
            watch,
        )
        return done(result)


def _places_of_caches(caches: Sequence[str | Path]) -> list[list[str]]:
    """Return (cache, folder) of each place to look at. By this process's environment: a daemon's is another. Blocks."""
    from p2phub.store.caches import CACHES, default_places

    places: list[list[str]] = []
    for cache in caches or CACHES:
        if isinstance(cache, str) and cache in CACHES:
            found = [place for place in default_places(cache, os.environ, Path.home()) if _may_be_there(place)]
            if caches and not found:
                looked = default_places(cache, os.environ, Path.home())
                hint = f"looked for: {', '.join(map(str, looked))}; name its folder: p2phub adopt DIR"
                raise UsageError(f"no cache of {cache} is here", hint=hint)
            places += [[cache, absolute(place)] for place in found]
        elif _may_be_there(cache):
            places.append(["any", absolute(cache)])
        else:
            hint = f"one of {', '.join(CACHES)}, or the folder of a cache or model"
            raise UsageError(f"{cache} is no folder, and no cache that is known", hint=hint)
    return places


def _may_be_there(place: str | Path) -> bool:
    """Whether a folder is there, as far as we may see: of one that we may not look at, whoever scans it says so."""
    try:
        return stat.S_ISDIR(os.stat(place).st_mode)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    except OSError:
        return True


def _place_of(program: str) -> Path:
    """Return where a program keeps what it has: the first of its places that is there, else the first. Blocks."""
    from p2phub.store.caches import default_places

    cache = {"hf-cache": "hf", "ollama": "ollama"}.get(program)
    if cache is None:
        raise UsageError(f"nothing is known of {program!r}", hint="one of hf-cache, ollama")
    places = default_places(cache, os.environ, Path.home())
    return next((place for place in places if os.path.isdir(place)), places[0])


def _check_name(program: str, name: str, branch: str) -> None:
    """Raise UsageError for a name or branch that the program would not take, before anybody is asked for anything."""
    from p2phub.store.materialise import HfPlace, full_name

    if program == "ollama":
        full_name(name)
    elif program == "hf-cache":
        HfPlace(Path(), name, commit="0" * 40, ref=branch).check()


def _symlinks_if_said(program: str) -> bool | None:
    """By this process's environment: a daemon's is another. A daemon of an older version makes links all the same."""
    from p2phub.store.caches import makes_symlinks

    return None if program != "hf-cache" or makes_symlinks(os.environ) else False
