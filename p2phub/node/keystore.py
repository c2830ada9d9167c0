"""The two keys of a home: `keys/publisher.pem` (who says so) and `keys/node.pem` (which machine it is).

Beside them, once there was a gateway, `keys/gateway.token`: what a program shows to have it change something.
And where the user wrote it, `keys/upstream.token`: what the node shows to the upstream hub.

A key file is 0600 in a folder that is 0700, belongs to us and is no link; anything looser is refused, because somebody
else may have read or put it. A key appears whole or not at all: it is written beside its place and linked there, which
fails if there is one already, so that two processes that start at once end up with one key. Threats T47, T48.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from p2phub.errors import Malformed, NotTrusted
from p2phub.identity import SecretKey, decode_secret_key, encode_secret_key
from p2phub.node.private_file import write_beside
from p2phub.store.disk import FOLDER_FLAGS, READ_FLAGS, Disk, disk_errors, make_folder

KEYS_FOLDER = "keys"
PUBLISHER_FILE = "publisher.pem"
NODE_FILE = "node.pem"
TOKEN_FILE = "gateway.token"
UPSTREAM_TOKEN_FILE = "upstream.token"
KEY_FILE_BYTES_MAX = 1024
_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,128}")


def load_or_create(home: Path) -> tuple[SecretKey, SecretKey]:
    """Return the publisher's and the node's key of `home`, made now if there are none.

    Raises NotTrusted if a key file or its folder is looser than it may be, or holds no key; DiskError.
    """
    with _keys_folder(home) as folder:
        return _load_or_create(folder, PUBLISHER_FILE, home), _load_or_create(folder, NODE_FILE, home)


def gateway_token(home: Path) -> str:
    """Return what opens the gateway of `home` to who has it, made now if there is none: letters and digits.

    Raises NotTrusted as `load_or_create` does, DiskError.
    """
    with _keys_folder(home) as folder:
        if _read(folder, TOKEN_FILE, home) is None:
            _create(folder, TOKEN_FILE, f"p2phub_{secrets.token_hex(20)}\n".encode(), home)
        token = (_read(folder, TOKEN_FILE, home) or b"").decode("ascii", "replace").strip()
    if not _TOKEN.fullmatch(token):
        path = home / KEYS_FOLDER / TOKEN_FILE
        raise NotTrusted(f"{path} holds no token", hint="move it away; one is made anew")
    return token


def upstream_token(home: Path) -> str | None:
    """Return what `home` shows to the upstream hub, where the user put one there. Raises as `gateway_token` does."""
    with _keys_folder(home) as folder:
        found = _read(folder, UPSTREAM_TOKEN_FILE, home)
    if found is None:
        return None
    token = found.decode("ascii", "replace").strip()
    if not _TOKEN.fullmatch(token):
        raise NotTrusted(f"{home / KEYS_FOLDER / UPSTREAM_TOKEN_FILE} holds no token of a hub")
    return token


def export_publisher_key(home: Path) -> bytes:
    """Return the publisher key as PEM, unencrypted: whoever has it can publish in this name."""
    with _keys_folder(home) as folder:
        return encode_secret_key(_load_or_create(folder, PUBLISHER_FILE, home))


def import_publisher_key(home: Path, pem: bytes) -> SecretKey:
    """Make `pem` the publisher key of `home`. A key that stood there is kept beside it, as `publisher-PEER.pem`.

    A node that runs goes on with the old one until it is started again. Raises Malformed, NotTrusted, DiskError.
    """
    key = decode_secret_key(pem)
    with _keys_folder(home) as folder:
        old = _load(folder, PUBLISHER_FILE, home)
        if old is not None and old.peer_id == key.peer_id:
            return key
        if old is not None:
            _create(folder, f"publisher-{old.peer_id}.pem", encode_secret_key(old), home)
        with disk_errors(f"write {home / KEYS_FOLDER / PUBLISHER_FILE}"):
            part = write_beside(folder, encode_secret_key(key))
            os.rename(part, PUBLISHER_FILE, src_dir_fd=folder, dst_dir_fd=folder)
            os.fsync(folder)
    return key


@contextlib.contextmanager
def _keys_folder(home: Path) -> Iterator[int]:
    """Open the folder of keys, made if there is none; yields its descriptor."""
    path = home / KEYS_FOLDER
    with disk_errors(f"open {path}", option="--home"):
        make_folder(Disk(), home, 0o700)
        with contextlib.suppress(FileExistsError):  # What stands there instead is told of below.
            make_folder(Disk(), path, 0o700)
        try:
            folder = os.open(path, FOLDER_FLAGS)
        except OSError as exc:
            if path.is_symlink() or not path.is_dir():
                raise NotTrusted(f"{path} is not a folder", hint="move it away; keys are made anew") from exc
            raise
    try:
        _check(path, os.fstat(folder), "0700")
        yield folder
    finally:
        os.close(folder)


def _load_or_create(folder: int, name: str, home: Path) -> SecretKey:
    key = _load(folder, name, home)
    if key is None:
        _create(folder, name, encode_secret_key(SecretKey(secrets.token_bytes(32))), home)
        key = _load(folder, name, home)  # Not the one just made, if another process was quicker.
    if key is None:
        raise NotTrusted(f"{home / KEYS_FOLDER / name} vanished while it was made", hint="try again")
    return key


def _load(folder: int, name: str, home: Path) -> SecretKey | None:
    data = _read(folder, name, home)
    if data is None:
        return None
    try:
        return decode_secret_key(data)
    except Malformed as exc:
        path = home / KEYS_FOLDER / name
        raise NotTrusted(f"{path} holds no key: {exc.message}", hint="restore it from a copy, or move it away") from exc


def _read(folder: int, name: str, home: Path) -> bytes | None:
    """Return what a file holds that nobody else may read or change, None if there is none."""
    path = home / KEYS_FOLDER / name
    with disk_errors(f"read {path}"):
        try:
            fd = os.open(name, READ_FLAGS, dir_fd=folder)
        except FileNotFoundError:
            return None
        except OSError as exc:
            if path.is_symlink():
                raise NotTrusted(f"{path} is a link", hint="put the key file itself there") from exc
            raise
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                raise NotTrusted(f"{path} is not a file")
            _check(path, found, "0600")
            return os.read(fd, KEY_FILE_BYTES_MAX + 1)
        finally:
            os.close(fd)


def _check(path: Path, found: os.stat_result, mode: str) -> None:
    if found.st_uid != os.geteuid():
        raise NotTrusted(f"{path} belongs to another user", hint=f"if it is yours: chown {os.geteuid()} {path}")
    if found.st_mode & 0o077:
        others = stat.S_IMODE(found.st_mode)
        raise NotTrusted(
            f"{path} may be read or changed by other users (mode {others:04o})",
            hint=f"if nobody did: chmod {mode} {path}",
        )


def _create(folder: int, name: str, data: bytes, home: Path) -> None:
    """Put `data` at `name` unless something stands there."""
    with disk_errors(f"write {home / KEYS_FOLDER / name}"):
        part = write_beside(folder, data)
        try:
            with contextlib.suppress(FileExistsError):
                os.link(part, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        finally:
            os.unlink(part, dir_fd=folder)
        os.fsync(folder)
