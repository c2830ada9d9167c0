"""The hub that all file systems and open files of a process have in common, and what is open in it.

One hub for each home, opened when it is needed first; one open model for each manifest that is read, as many as
MODELS_OPEN_MAX. Files have none of it themselves: they ask for a range of a version, and whatever is missing for that
is opened again. So they can be pickled, and so a fork costs nothing but that: the hub is closed before it, whoever
waits in another thread waits for the fork and goes on, and each side opens its own when it reads next. A child that
had a copy of the parent's sockets, locks and database open would break both.

What a path led to stays so for the life of the process, or until it is asked to look anew: whoever reads a data set
file by file gets one version.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from p2phub.api import Hub, HubError, NodeGone, PassingOn, UsageError
from p2phub.api.blocking import BlockingHub, Options
from p2phub.api.blocking_hub import BlockingModel
from p2phub.api.recent import keep
from p2phub.filesystem.paths import KINDS, MAIN, Above, Place
from p2phub.filesystem.versions import Version, leads_to, of_kind, stands_for_nothing

T = TypeVar("T")
MODELS_OPEN_MAX = 16
VERSIONS_MAX = 256


class Settings(msgspec.Struct, frozen=True):
    """How a file system was made. Those of `open_hub`, `Hub.open_model`; None: as the home's settings say."""

    home: str | None = None
    bootstrap: tuple[str, ...] = ()
    lan: bool | None = None
    providers: tuple[str, ...] = ()
    wait: str | float | None = None
    allow_unsafe: bool | None = None


class Shared:
    """What file systems with the same settings share. Made by `shared_by`. Any thread may ask."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.RLock()  # Held for moments, and while the hub is opened or closed.
        self._turns: defaultdict[object, threading.Lock] = defaultdict(threading.Lock)  # One looks up what all ask for.
        self._hub: BlockingHub | None = None
        self._passing_on: PassingOn | None = None
        self._models: OrderedDict[str, BlockingModel] = OrderedDict()  # By manifest; who was used last comes last.
        self._users: Counter[BlockingModel] = Counter()
        self._versions: OrderedDict[tuple[str, str | None], Version] = OrderedDict()
        self._over = False

    # --- what is asked ------------------------------------------------------------------------------------------------

    def version(self, place: Place) -> Version:
        """Return what a place leads to. Raises HubError."""
        key = place.prefix + place.repository, place.revision
        with self._turn(key):
            with self._lock:
                found = self._versions.get(key)
            if found is None:
                found = self._ask(lambda hub: self._look_up(hub, place))
                with self._lock:
                    keep(self._versions, key, found, most=VERSIONS_MAX)
            return found

    def read(self, version: Version, path: str, start: int, stop: int) -> bytes:
        """Return bytes of a file, verified. Raises HubError, of it Unsafe for one that may run code."""

        def read(hub: BlockingHub) -> bytes:
            with self._model(hub, version.reference, version.manifest) as model:
                judge = self._judge(hub)
                hub.call(lambda _: judge.judge(model.model, path))
                return model.read(path, start, stop)

        return self._ask(read)

    def repositories(self, above: Above) -> list[str]:
        """Return the paths that stand in a folder above repositories: what this home has, by the names it has here.
        Raises HubError."""
        kind = KINDS.get(above.prefix.rstrip("/"))
        found: dict[str, None] = {}
        for item in self._ask(lambda hub: hub.call(lambda hub: hub.repositories())):
            owner, slash, name = item["name"].rpartition("/")
            if kind is not None and item["version"]["kind"] not in (kind, None):
                continue
            if above.owner:
                if owner == above.owner:
                    found[f"{above.prefix}{owner}/{name}"] = None
            else:
                found[above.prefix + (owner if slash else f"{name}@{item['version']['tag'] or MAIN}")] = None
        return sorted(found)

    def look_anew(self) -> None:
        """Forget what places led to."""
        with self._lock:
            self._versions.clear()

    # --- what a place leads to ----------------------------------------------------------------------------------------

    def _look_up(self, hub: BlockingHub, place: Place) -> Version:
        told = hub.call(lambda hub: hub.repository(place.repository))
        named = told["reference"] is not None
        versions = of_kind(place, told["versions"])
        if not named and not versions:
            raise stands_for_nothing(place, told["candidates"])
        reference, created = leads_to(place, named, versions)
        with self._model(hub, reference, None) as model:
            if place.kind is not None and not versions:  # Nobody here knew it, until it was opened.
                told = hub.call(lambda hub: hub.repository(place.repository))
                of_kind(place, [each for each in told["versions"] if each["manifest"] == model.manifest])
            if model.release is not None:
                created = model.release.created
            return Version(reference, model.manifest, created, model.files)

    @contextmanager
    def _model(self, hub: BlockingHub, reference: str, manifest: str | None) -> Iterator[BlockingModel]:
        """Yield the open model of a manifest (None: of whichever the reference leads to). Raises HubError."""
        with self._turn(manifest or reference):
            with self._lock:
                model = None if manifest is None else self._models.get(manifest)
                if model is not None:
                    self._users[model] += 1
            if model is None:
                model = self._opened(hub, reference, manifest)
        try:
            yield model
        finally:
            self._leave(model)

    def _opened(self, hub: BlockingHub, reference: str, manifest: str | None) -> BlockingModel:
        """Open a model; it has a user then."""
        settings = self._settings
        model = hub.open_model(reference, providers=settings.providers, wait=settings.wait)
        if manifest is not None and model.manifest != manifest:  # Another version was published meanwhile.
            model.close()
            model = hub.open_model(manifest, providers=settings.providers, wait=settings.wait)
        with self._lock:
            if hub is not self._hub:
                raise UsageError("the hub was closed meanwhile")
            same = self._models.setdefault(model.manifest, model)
            self._models.move_to_end(model.manifest)
            self._users[same] += 1
        if same is not model:
            model.close()
        return same

    def _leave(self, model: BlockingModel) -> None:
        with self._lock:
            self._users[model] -= 1
            if self._users[model] <= 0:  # Less, where all that was open was closed meanwhile.
                del self._users[model]
            unused = [manifest for manifest, each in self._models.items() if each not in self._users]
            closing = [self._models.pop(each) for each in unused[: max(0, len(self._models) - MODELS_OPEN_MAX)]]
        for each in closing:
            with contextlib.suppress(HubError):
                each.close()

    def _judge(self, hub: BlockingHub) -> PassingOn:
        with self._lock:
            if self._passing_on is None:
                said = self._settings.allow_unsafe
                self._passing_on = hub.call(lambda hub: _passing_on(hub, said))
            return self._passing_on

    @contextmanager
    def _turn(self, key: object) -> Iterator[None]:
        with self._lock:
            turn = self._turns[key]
        with turn:
            yield

    # --- the hub ------------------------------------------------------------------------------------------------------

    def _ask(self, work: Callable[[BlockingHub], T]) -> T:
        """Return what `work` gives for an open hub; for another one where that was closed meanwhile, for a fork, or its
        daemon went away."""
        again = True
        while True:
            hub = self._opened_hub()
            try:
                return work(hub)
            except HubError as error:
                if not hub.closed:
                    if not isinstance(error, NodeGone) or not again:
                        raise
                    again = False
                    self._close(hub)

    def _opened_hub(self) -> BlockingHub:
        with self._lock:
            if self._over:
                raise UsageError("this program ends")
            if self._hub is None:
                settings = self._settings
                options: Options = {}
                if settings.home is not None:
                    options["home"] = settings.home
                if settings.bootstrap:
                    options["bootstrap"] = settings.bootstrap
                if settings.lan is not None:
                    options["lan"] = settings.lan
                self._hub = BlockingHub(**options)
            return self._hub

    def _close(self, hub: BlockingHub | None) -> None:
        """Close the hub, if it still is this one. What it had open ends with it."""
        with self._lock:
            if hub is not None and hub is self._hub:
                self._hub, self._passing_on = None, None
                self._models.clear()
                self._users.clear()
                with contextlib.suppress(HubError):
                    hub.close()

    # --- the process --------------------------------------------------------------------------------------------------

    def before_fork(self) -> None:
        self._lock.acquire()
        self._close(self._hub)

    def after_fork_in_parent(self) -> None:
        self._lock.release()

    def after_fork_in_child(self) -> None:
        versions = self._versions
        self._begin()
        self._versions = versions  # Who was forked reads what its parent reads.

    def end(self) -> None:
        with self._lock:
            self._over = True
            self._close(self._hub)


async def _passing_on(hub: Hub, said: bool | None) -> PassingOn:
    return PassingOn(hub, allow_unsafe=hub.allow_unsafe if said is None else said)


_all: dict[Settings, Shared] = {}
_guard = threading.Lock()


def shared_by(settings: Settings) -> Shared:
    """Return what file systems with these settings share in this process."""
    with _guard:
        if settings not in _all:
            _all[settings] = Shared(settings)
        return _all[settings]


def absolute_home(home: str | Path | None) -> str | None:
    """Return where a home is, whatever folder a process that gets it works in."""
    return None if home is None else os.path.abspath(home)


def _before_fork() -> None:
    _guard.acquire()
    for each in _all.values():
        each.before_fork()


def _after_fork_in_parent() -> None:
    for each in _all.values():
        each.after_fork_in_parent()
    _guard.release()


def _after_fork_in_child() -> None:
    global _guard
    _guard = threading.Lock()
    for each in _all.values():
        each.after_fork_in_child()


def _end() -> None:
    for each in list(_all.values()):
        each.end()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
atexit.register(_end)
