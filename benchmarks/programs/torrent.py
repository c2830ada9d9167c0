"""libtorrent's part: `python -m benchmarks.programs.torrent WHAT ...`.

`create ROOT FILE`, then `seed FILE DIRECTORY HOST BYTES_PER_S`, and `leech FILE INTO HOST PORT` or
`join FILE INTO OWN_PORT PORT...`.

The seeder prints its port when it can be asked; it sends no faster than that number, if it is not 0. The leecher ends
when libtorrent has checked every piece and has written all of them (the session is closed first; before that, writes
may still wait in its queue). One that joins a crowd prints `complete` when every piece is checked, and stays, serving,
until SIGTERM.
"""

import importlib
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_TICK_S = 0.5
_PIECE_BYTES = 0  # libtorrent chooses


def main() -> None:
    """Do what the first argument says."""
    what, *arguments = sys.argv[1:]
    programs: dict[str, Callable[..., None]] = {"create": _create, "seed": _seed, "leech": _leech, "join": _join}
    programs[what](*arguments)


def _create(root: str, torrent_file: str) -> None:
    lt = _libtorrent()
    torrent = lt.create_torrent(lt.list_files(root), _PIECE_BYTES, lt.create_torrent.v2_only)
    lt.set_piece_hashes(torrent, str(Path(root).parent))
    Path(torrent_file).write_bytes(lt.bencode(torrent.generate()))


def _seed(torrent_file: str, directory: str, host: str, bytes_per_s: str) -> None:
    lt = _libtorrent()
    session = _session(lt, listen_interfaces=f"{host}:0", upload_rate_limit=int(bytes_per_s))
    parameters = _parameters(lt, torrent_file, directory)
    parameters.flags |= lt.torrent_flags.seed_mode  # the files are known to be right: no check before serving
    handle = session.add_torrent(parameters)
    while not (handle.status().is_seeding and session.listen_port()):
        session.wait_for_alert(int(_TICK_S * 1000))
        session.pop_alerts()
    print(session.listen_port(), flush=True)
    while True:
        time.sleep(3600)


def _leech(torrent_file: str, into: str, host: str, port: str) -> None:
    lt = _libtorrent()
    session = _session(lt)
    parameters = _parameters(lt, torrent_file, into)
    handle = session.add_torrent(parameters)
    handle.connect_peer((host, int(port)))
    _complete(lt, session, handle)
    del handle, session  # waits for the disk


def _join(torrent_file: str, into: str, own_port: str, *ports: str) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    lt = _libtorrent()
    # Everybody has one address here, and not everybody listens when the first one calls.
    session = _session(
        lt,
        listen_interfaces=f"127.0.0.1:{own_port}",
        allow_multiple_connections_per_ip=True,
        min_reconnect_time=1,
    )
    handle = session.add_torrent(_parameters(lt, torrent_file, into))
    for port in ports:
        handle.connect_peer(("127.0.0.1", int(port)))
    _complete(lt, session, handle)
    print("complete", flush=True)
    try:
        while True:
            time.sleep(3600)
    finally:
        del handle, session  # waits for the disk


def _complete(lt: Any, session: Any, handle: Any) -> None:
    """Wait until every piece is checked."""
    while not handle.status().is_seeding:
        session.wait_for_alert(int(_TICK_S * 1000))
        for alert in session.pop_alerts():
            if isinstance(alert, lt.torrent_error_alert | lt.file_error_alert):
                sys.exit(alert.message())


def _session(lt: Any, **settings: object) -> Any:
    return lt.session(
        {
            "listen_interfaces": "127.0.0.1:0",
            "enable_outgoing_utp": False,
            "enable_incoming_utp": False,
            "enable_dht": False,
            "enable_lsd": False,
            "enable_upnp": False,
            "enable_natpmp": False,
            "alert_mask": lt.alert.category_t.error_notification | lt.alert.category_t.status_notification,
            **settings,
        }
    )


def _parameters(lt: Any, torrent_file: str, directory: str) -> Any:
    parameters = lt.load_torrent_file(torrent_file)
    parameters.save_path = directory
    parameters.flags &= ~(
        lt.torrent_flags.auto_managed | lt.torrent_flags.paused
    )  # start at once, not in its queue's time
    return parameters


def _libtorrent() -> Any:
    # By name: it is installed for the benchmark only, in a directory that the driver puts on the path.
    return importlib.import_module("libtorrent")


if __name__ == "__main__":
    main()
