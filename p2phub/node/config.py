"""What the user set: where the home is, where to listen, whom to ask first, how fast.

Each setting comes from the first of these that has it: the option of the command or call, the environment
(`P2PHUB_LISTEN`, …), `config.toml` in the home, the default. The home itself comes from option or environment only.

    # config.toml: every key may be left out
    listen = ["0.0.0.0:4717", "[::]:4717"]
    bootstrap = ["/ip4/192.0.2.7/tcp/4717/p2p/12D3Koo…"]
    mirrors = ["https://models.example.org/{name}"]
    lan = true
    up = "20MB"      # bytes a second: MB = 10^6, MiB = 2^20; "none" is as fast as it goes
    down = "100MiB"
    wait = "24h"     # how long a fetch waits for somebody who has it, where it is not told
    shared = ["/mnt/lab/models"]   # attached places (`p2phub attach`), beside those that were attached by command
    quota = "200GB"  # of the own store and what came from a hub; "none", the default, is as much as there is
    log = "json"     # how the daemon writes its log: one object a line, or "text", the default
    gateway = "127.0.0.1:7700"   # where the gateway serves; true is there, "none", the default, nowhere
    gateway_users = ["ollama"]   # further users of this machine whose programs read through it without its token
    gateway_uploads = false   # whether tools of the hub may publish by the gateway, with its token
    upstream = "https://hub.example.org"   # what the gateway asks for what nothing here is called
    metrics = true   # where /metrics and the probes are at a port of their own: 127.0.0.1:7701
    allow_unsafe = false   # whether a fetch puts files in place that may run code, where it is not told
    bulk_processes = 1   # that carry the daemon's bulk bytes; 0: its own threads do

    [[schedule]]     # see `node.schedule`; any number of them
    from = "08:00"
    to = "18:00"
    days = ["mon", "tue", "wed", "thu", "fri"]
    up = "2MB"

    [labels]         # see `node.labels`: what networks, and hosts of mirrors, are to this node
    "10.1.0.0/16" = "site"   # or "rack", or "metered"
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from p2phub import limits
from p2phub.errors import DiskError, HubError, Malformed, UsageError
from p2phub.identity import Address, MirrorId, PeerAddress, parse_mirror, parse_peer_address, without_secrets
from p2phub.manifest import check_mirror
from p2phub.node.durations import parse_duration
from p2phub.node.labels import Labels, parse_labels
from p2phub.node.rates import parse_cap
from p2phub.node.schedule import Row, parse_schedule
from p2phub.node.sizes import parse_quota
from p2phub.store.disk import READ_FLAGS, is_open_to_others, need_ours, open_for_reading

CONFIG_FILE = "config.toml"
CONFIG_BYTES_MAX = limits.MIB
BULK_PROCESSES_MAX = 64  # Each is an interpreter of some 30 MB.
LISTEN_DEFAULT = (Address("0.0.0.0", limits.PORT_DEFAULT), Address("::", limits.PORT_DEFAULT))
GATEWAY_DEFAULT = Address("127.0.0.1", 7700)
METRICS_DEFAULT = Address("127.0.0.1", 7701)


class Config(msgspec.Struct, frozen=True):
    """The settings of one home."""

    home: Path  # Absolute.
    listen: tuple[Address, ...] = LISTEN_DEFAULT
    bootstrap: tuple[PeerAddress, ...] = ()
    mirrors: tuple[str, ...] = ()  # URLs of web servers that hold files, perhaps with {name} and the like in them.
    shared: tuple[Path, ...] = ()  # Attached places, absolute; see `store.sharing`.
    lan: bool = True  # Find, and be found by, nodes of the local network.
    up: int | None = None  # Bytes a second; None is as fast as it goes.
    down: int | None = None
    wait: float | None = None  # Seconds, math.inf for ever; None: as `engine.patience` has it.
    quota: int | None = None  # Bytes that the own store, and what came from a hub, may have; None: as many as the disk.
    allow_unsafe: bool = False  # Whether a fetch puts files in place that may run code, where it is not told.
    gateway: Address | None = None  # Where the daemon's gateway serves; None: there is none.
    gateway_users: tuple[str, ...] = ()  # Whose programs read through it without its token, beside our own.
    gateway_uploads: bool = False  # Whether what is uploaded to the gateway, with its token, is published.
    upstream: MirrorId | None = None  # A hub that a gateway asks for what nothing here is called.
    metrics: Address | None = None  # Where metrics and probes of the daemon are, beside the gateway; None: nowhere.
    bulk_processes: int = 1
    log: str = "text"  # How the daemon writes its log.
    schedule: tuple[Row, ...] = ()  # Which caps hold when.
    labels: Labels = msgspec.field(default_factory=Labels)  # Which networks are near, and which cost.

    @property
    def names_listen(self) -> bool:
        """Whether the user said where to listen; else it is where we listen if we may."""
        return self.listen is not LISTEN_DEFAULT


def load_config(
    *,
    home: str | Path | None = None,
    listen: Sequence[str] = (),
    bootstrap: Sequence[str] = (),
    lan: bool | None = None,
    up: str | int | None = None,
    down: str | int | None = None,
    bulk_processes: int | None = None,
    gateway: str | bool | None = None,
    gateway_users: Sequence[str] = (),
    upstream: str | None = None,
    metrics: str | bool | None = None,
    environment: Mapping[str, str] | None = None,
) -> Config:
    """Return the settings that hold, options first. `environment` is the process's own if None.

    Raises UsageError, which names the setting and where it came from; DiskError if the file cannot be read.
    """
    environment = os.environ if environment is None else environment
    folder = find_home(home, environment)
    options = {"listen": list(listen) or None, "bootstrap": list(bootstrap) or None, "lan": lan, "up": up, "down": down}
    options |= {"bulk_processes": bulk_processes, "gateway": gateway, "gateway_users": list(gateway_users) or None}
    options |= {"upstream": upstream, "metrics": metrics}
    named = {key: _OPTIONS.get(key, f"--{key.replace('_', '-')}") for key in options}
    said = {key: (named[key], value) for key, value in options.items() if value is not None}
    read: dict[str, Any] = {}
    for given in (_read_file(folder / CONFIG_FILE), _read_environment(environment), said):
        for key, (source, value) in given.items():  # What makes no sense is told, also where another overrules it.
            try:
                read[key] = _READERS[key](value)
            except UsageError as error:
                raise UsageError(f"{source}: {error.message}", hint=error.hint) from error
    return Config(folder, **read)


def find_home(home: str | Path | None, environment: Mapping[str, str]) -> Path:
    """Return the home's folder, absolute: `home`, else P2PHUB_HOME, else the platform's place for a user's data. An
    empty variable is one that is not set. Raises UsageError for an empty `home`."""
    if home is not None and os.fspath(home) == "":  # Most likely a shell's variable that is not set.
        raise UsageError("--home: the name of the folder is empty", hint="name a folder, or leave --home out")
    chosen = home or environment.get("P2PHUB_HOME")
    if not chosen:
        import platformdirs  # Imported where it is needed: most tests, and every daemon with a home, do without.

        chosen = platformdirs.user_data_path("p2phub")
    return Path(os.path.abspath(Path(chosen).expanduser()))


def parse_listen(text: str) -> Address:
    """Read `IP:PORT`, an IPv6 address in brackets; port 0 is any free one. Raises UsageError."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        colon = ""  # Which colon would be the port's?
    if colon and port.isascii() and port.isdigit() and len(port) <= 5:
        try:
            return Address(host, int(port))
        except Malformed:
            pass  # Said below, in the user's words.
    raise UsageError(f"not an address to listen on: {text[:80]!r}", hint="like 0.0.0.0:4717 or [::1]:4717")


def _parse_bootstrap(text: str) -> PeerAddress:
    try:
        return parse_peer_address(text)
    except Malformed as error:
        raise UsageError(
            f"not an address of a peer: {text[:160]!r}", hint="like /ip4/192.0.2.7/tcp/4717/p2p/12D3Koo…"
        ) from error


def _parse_template(text: str) -> str:
    check_mirror(text)
    return text


_LIKE_A_HUB = "like https://hub.example.org; http:// on this machine only"


def _parse_upstream(text: Any) -> MirrorId:
    if not isinstance(text, str):
        raise UsageError("the URL of a hub is wanted", hint=_LIKE_A_HUB)
    try:
        return parse_mirror(text)
    except UsageError as error:
        raise UsageError(f"not the URL of a hub: {without_secrets(text)!r}", hint=_LIKE_A_HUB) from error


def _port_of(default: Address) -> Callable[[Any], Address | None]:
    """Return what reads where something listens beside the node: an address, true for the default one, or no."""

    def read(value: Any) -> Address | None:
        try:
            return default if value != "none" and _switch(value) else None
        except UsageError:  # Then it is an address.
            pass
        try:
            return parse_listen(str(value))
        except UsageError as error:
            raise UsageError(error.message, hint=f"like {default.ip}:{default.port} or [::1]:{default.port}") from error

    return read


def _parse_user(text: str) -> str:
    """Read a user's name; whether this machine has one of that name matters when there is a gateway."""
    if not text or not text.isprintable():
        raise UsageError(f"not the name of a user: {text[:80]!a}")
    return text


def _parse_place(text: str) -> Path:
    if not os.path.isabs(text) or not text.isprintable():
        raise UsageError(f"no absolute path of a folder: {text[:160]!a}", hint="like /mnt/lab/models")
    return Path(os.path.normpath(text))


def _texts(read: Callable[[str], Any]) -> Callable[[Any], tuple[Any, ...]]:
    def read_all(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise UsageError("a list of texts is wanted", hint='like ["one", "two"]')
        return tuple(dict.fromkeys(read(item) for item in value))

    return read_all


def _switch(value: Any) -> bool:
    if isinstance(value, str):
        value = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}.get(value.lower())
    if not isinstance(value, bool):
        raise UsageError("either true or false is wanted")
    return value


def _count(value: Any) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 4:
        value = int(value)
    if type(value) is not int or not 0 <= value <= BULK_PROCESSES_MAX:
        raise UsageError(f"a number from 0 to {BULK_PROCESSES_MAX} is wanted")
    return value


def _log_format(value: Any) -> str:
    if value not in ("text", "json"):
        raise UsageError("either text or json is wanted")
    return str(value)


_VARIABLES_BESIDES = ("HOME", "NO_LAN", "JSON", "VERBOSE")  # Of what no setting says.
_OPTIONS = {"gateway_users": "--gateway-user"}  # Of one more each time it is given.
_LISTS = frozenset(("listen", "bootstrap", "mirrors", "shared", "gateway_users"))
_READERS: dict[str, Callable[[Any], Any]] = {
    "listen": _texts(parse_listen),
    "bootstrap": _texts(_parse_bootstrap),
    "mirrors": _texts(_parse_template),
    "shared": _texts(_parse_place),
    "lan": _switch,
    "up": parse_cap,
    "down": parse_cap,
    "wait": parse_duration,
    "quota": parse_quota,
    "allow_unsafe": _switch,
    "bulk_processes": _count,
    "log": _log_format,
    "gateway": _port_of(GATEWAY_DEFAULT),
    "gateway_users": _texts(_parse_user),
    "gateway_uploads": _switch,
    "upstream": _parse_upstream,
    "metrics": _port_of(METRICS_DEFAULT),
    "schedule": parse_schedule,
    "labels": parse_labels,
}


def _read_file(path: Path) -> dict[str, tuple[str, Any]]:
    try:
        # It may be a link, as users' files of settings often are; but nothing that makes us wait.
        with open_for_reading(path, flags=READ_FLAGS & ~os.O_NOFOLLOW) as file:
            if is_open_to_others(os.stat(path.parent)):  # Else it was we who put it there, whoever made it.
                need_ours(os.fstat(file.fileno()), path, or_roots=True)
            data = file.read(CONFIG_BYTES_MAX + 1)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as exc:
        raise DiskError(
            f"cannot read {path}: {exc.strerror or exc}", hint="let this user read it, or move it away"
        ) from exc
    import tomllib  # Most homes have no such file.

    try:
        if len(data) > CONFIG_BYTES_MAX:
            raise ValueError("too long")
        settings = tomllib.loads(data.decode("utf-8"))
    except ValueError as exc:  # Also what tomllib and utf-8 raise.
        raise UsageError(
            f"{path} is not a TOML file: {exc}", hint="mend that line, or move the file away; docs/configuration.md"
        ) from exc
    for key in settings:
        if key not in _READERS:
            from difflib import get_close_matches  # Only a mistake needs it.

            meant = "".join(f"do you mean {like}? " for like in get_close_matches(key, _READERS, n=1))
            raise UsageError(f"{path}: there is no setting {key!r}", hint=f"{meant}settings are {', '.join(_READERS)}")
    return {key: (f"{path}: {key}", value) for key, value in settings.items()}


def _read_environment(environment: Mapping[str, str]) -> dict[str, tuple[str, Any]]:
    """Lists are separated by commas or spaces. An empty variable is one that is not set."""
    found: dict[str, tuple[str, Any]] = {}
    for key in _READERS.keys() - {"schedule", "labels"}:  # Tables are for a file.
        name = f"P2PHUB_{key.upper()}"
        if text := environment.get(name, "").strip():
            found[key] = (name, text.replace(",", " ").split() if key in _LISTS else text)
    if environment.get("P2PHUB_NO_LAN") and _no_lan(environment["P2PHUB_NO_LAN"]):
        found["lan"] = ("P2PHUB_NO_LAN", False)
    _refuse_misspelt(environment)
    return found


def _refuse_misspelt(environment: Mapping[str, str]) -> None:
    """Raise UsageError for a variable that is almost one of ours. Others that begin like them are somebody else's: a
    Kubernetes service of our name has P2PHUB_SERVICE_HOST and P2PHUB_PORT_4717_TCP set everywhere."""
    known = {*(key.upper() for key in _READERS), *_VARIABLES_BESIDES}
    for name in environment:
        word = name.removeprefix("P2PHUB_")
        if word in known or word == name or not environment[name].strip():
            continue
        from difflib import get_close_matches  # Only a mistake needs it.

        for like in get_close_matches(word, known, n=1, cutoff=0.8):
            raise UsageError(f"there is no variable {name}", hint=f"do you mean P2PHUB_{like}?")


def _no_lan(text: str) -> bool:
    try:
        return _switch(text)
    except HubError as error:
        hint = "set P2PHUB_NO_LAN=1 or leave it out"
        raise UsageError(f"P2PHUB_NO_LAN: {error}: {text[:40]!r}", hint=hint) from error
