"""Key files: made once, whole, readable by their owner alone; anything looser is refused."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from p2phub.errors import DiskError, Malformed, NotTrusted
from p2phub.identity import SecretKey, encode_secret_key
from p2phub.node import keystore
from p2phub.node.home import hold_home
from p2phub.node.keystore import export_publisher_key, gateway_token, import_publisher_key, load_or_create
from p2phub.store.filesystem import FilesystemStore
from tests.support.covers import covers

OTHER = SecretKey(bytes(range(32)))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_keys_are_made_on_first_use_and_found_again(tmp_path: Path) -> None:
    home = tmp_path / "some" / "home"
    publisher, node = load_or_create(home)
    assert publisher.peer_id != node.peer_id
    again = load_or_create(home)
    assert (again[0].peer_id, again[1].peer_id) == (publisher.peer_id, node.peer_id)


def hold(home: Path) -> None:
    with hold_home(home):
        pass


def open_store(home: Path) -> None:
    FilesystemStore(home).close()


@covers("F02")
@pytest.mark.parametrize("make", [load_or_create, hold, open_store], ids=["keys", "daemon", "store"])
def test_a_home_outlives_a_power_cut_with_the_folders_that_were_made_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], object]
) -> None:
    synced: set[str] = set()
    really = os.fsync

    def fsync(fd: int) -> None:
        really(fd)
        synced.add(os.readlink(f"/proc/self/fd/{fd}"))

    monkeypatch.setattr(os, "fsync", fsync)
    home = tmp_path / "some" / "where" / "home"
    make(home)
    made = [path for path in tmp_path.rglob("*") if path.is_dir()]
    assert home in made
    assert {str(path.parent) for path in made} <= synced
    assert mode(home) == 0o700


def test_a_home_that_is_a_link_to_nothing_is_not_made(tmp_path: Path) -> None:
    (tmp_path / "home").symlink_to(tmp_path / "not mounted")
    for make in (load_or_create, hold, open_store):
        with pytest.raises(DiskError):
            make(tmp_path / "home")
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


@covers("T47")
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
def test_key_files_are_their_owners_alone_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    (tmp_path / "home").mkdir()
    before = os.umask(umask)
    try:
        if umask == 0o777:  # A folder made under it could not even be entered by others than root.
            (tmp_path / "home" / "keys").mkdir()
            (tmp_path / "home" / "keys").chmod(0o700)
        load_or_create(tmp_path / "home")
    finally:
        os.umask(before)
    keys = tmp_path / "home" / "keys"
    assert mode(keys) == 0o700
    assert {path.name: mode(path) for path in keys.iterdir()} == {"publisher.pem": 0o600, "node.pem": 0o600}


@covers("T47")
@pytest.mark.parametrize("planted", ["file", "link"])
def test_a_key_is_written_to_a_file_that_nobody_can_have_made_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planted: str
) -> None:
    """Its name is chance, so here it is known: what stands there is neither written to nor followed."""
    load_or_create(tmp_path)
    keys, elsewhere = tmp_path / "keys", tmp_path / "elsewhere"
    (keys / "node.pem").unlink()
    elsewhere.write_bytes(b"somebody's own")
    monkeypatch.setattr("p2phub.node.private_file.secrets.token_hex", lambda count: "known")
    if planted == "file":
        os.link(elsewhere, keys / ".known.new")
    else:
        (keys / ".known.new").symlink_to(elsewhere)
    with pytest.raises(DiskError):
        load_or_create(tmp_path)
    assert elsewhere.read_bytes() == b"somebody's own"
    assert not (keys / "node.pem").exists()


@covers("T47")
@pytest.mark.parametrize("name", ["keys", "keys/publisher.pem", "keys/node.pem"])
@pytest.mark.parametrize("extra", [0o040, 0o004, 0o020, 0o002])
def test_looser_modes_are_refused_with_the_command_that_mends_them(tmp_path: Path, name: str, extra: int) -> None:
    load_or_create(tmp_path)
    loose = tmp_path / name
    loose.chmod(mode(loose) | extra)
    with pytest.raises(NotTrusted, match="other users") as caught:
        load_or_create(tmp_path)
    assert "chmod" in (caught.value.hint or "")


@covers("T47")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_key_of_another_user_is_refused(tmp_path: Path) -> None:
    load_or_create(tmp_path)
    os.chown(tmp_path / "keys" / "node.pem", 12345, -1)
    with pytest.raises(NotTrusted, match="another user"):
        load_or_create(tmp_path)


@covers("T47")
@pytest.mark.parametrize("name", ["publisher.pem", "node.pem"])
def test_a_link_in_the_place_of_a_key_is_refused(tmp_path: Path, name: str) -> None:
    load_or_create(tmp_path / "home")
    key = tmp_path / "home" / "keys" / name
    key.rename(tmp_path / "elsewhere.pem")
    key.symlink_to(tmp_path / "elsewhere.pem")
    with pytest.raises(NotTrusted, match="link"):
        load_or_create(tmp_path / "home")


def test_a_link_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "keys").symlink_to(tmp_path / "real")
    with pytest.raises(NotTrusted, match="not a folder"):
        load_or_create(tmp_path / "home")
    assert not list((tmp_path / "real").iterdir())


@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 2000, b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_a_damaged_key_is_refused_and_never_replaced(tmp_path: Path, content: bytes) -> None:
    load_or_create(tmp_path)
    key = tmp_path / "keys" / "publisher.pem"
    key.write_bytes(content)
    with pytest.raises(NotTrusted, match="holds no key"):
        load_or_create(tmp_path)
    assert key.read_bytes() == content


def test_a_pipe_in_the_place_of_a_key_is_refused_without_waiting(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir(mode=0o700)
    os.mkfifo(tmp_path / "keys" / "publisher.pem", 0o600)
    with pytest.raises(NotTrusted, match="not a file"):
        load_or_create(tmp_path)


def test_many_that_start_at_once_end_with_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: load_or_create(tmp_path)[0].peer_id, range(32)))
    assert len(set(found)) == 1
    assert sorted(path.name for path in (tmp_path / "keys").iterdir()) == ["node.pem", "publisher.pem"]


def test_the_slower_of_two_that_make_a_key_at_once_takes_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_beside = keystore.write_beside

    def write_late(folder: int, data: bytes) -> str:
        monkeypatch.undo()
        load_or_create(tmp_path)  # Another process was quicker, between our look and our link.
        return write_beside(folder, data)

    monkeypatch.setattr(keystore, "write_beside", write_late)
    mine = load_or_create(tmp_path)
    assert [key.peer_id for key in mine] == [key.peer_id for key in load_or_create(tmp_path)]


def test_a_home_where_nothing_can_be_made_is_a_disk_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(DiskError):
        load_or_create(tmp_path / "file" / "home")


def test_an_exported_key_can_be_imported_elsewhere(tmp_path: Path) -> None:
    publisher, _ = load_or_create(tmp_path / "one")
    imported = import_publisher_key(tmp_path / "two", export_publisher_key(tmp_path / "one"))
    assert imported.peer_id == publisher.peer_id
    assert load_or_create(tmp_path / "two")[0].peer_id == publisher.peer_id
    assert mode(tmp_path / "two" / "keys" / "publisher.pem") == 0o600


def test_a_key_that_is_replaced_is_kept_beside_the_new_one(tmp_path: Path) -> None:
    old, node = load_or_create(tmp_path)
    import_publisher_key(tmp_path, encode_secret_key(OTHER))
    assert [key.peer_id for key in load_or_create(tmp_path)] == [OTHER.peer_id, node.peer_id]
    kept = tmp_path / "keys" / f"publisher-{old.peer_id}.pem"
    assert kept.read_bytes() == encode_secret_key(old)
    assert mode(kept) == 0o600


def test_importing_the_same_key_changes_nothing(tmp_path: Path) -> None:
    load_or_create(tmp_path)
    before = sorted(path.name for path in (tmp_path / "keys").iterdir())
    import_publisher_key(tmp_path, export_publisher_key(tmp_path))
    assert sorted(path.name for path in (tmp_path / "keys").iterdir()) == before


def test_what_is_no_key_is_not_imported(tmp_path: Path) -> None:
    publisher, _ = load_or_create(tmp_path)
    with pytest.raises(Malformed):
        import_publisher_key(tmp_path, b"hello")
    assert load_or_create(tmp_path)[0].peer_id == publisher.peer_id


@covers("T47", "T44")
def test_the_token_of_a_gateway_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    token = gateway_token(tmp_path)
    assert len(token) >= 40
    assert gateway_token(tmp_path) == token
    assert gateway_token(tmp_path / "other") != token
    path = tmp_path / "keys" / "gateway.token"
    assert mode(path) == 0o600
    path.chmod(0o644)
    with pytest.raises(NotTrusted, match="other users"):
        gateway_token(tmp_path)


@pytest.mark.parametrize("content", [b"", b"short", b"two words that are long enough", b"x" * 2000, b"\xff" * 40])
def test_a_token_file_that_holds_none_is_refused(tmp_path: Path, content: bytes) -> None:
    gateway_token(tmp_path)
    (tmp_path / "keys" / "gateway.token").write_bytes(content)
    with pytest.raises(NotTrusted, match="no token"):
        gateway_token(tmp_path)
