"""Bad input and bad luck through the command line: the right exit code, words that help, nothing lost or harmed."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from p2phub import limits
from p2phub.identity import SecretKey, parse_peer_address, seal
from p2phub.manifest import read_release, sign_release
from p2phub.manifest.release import DOMAIN
from p2phub.node.keystore import load_or_create
from p2phub.store.ledger import FileLedger
from tests.support import hostile
from tests.support.chaos import status
from tests.support.covers import covers
from tests.support.gate import gate
from tests.support.models import make_safetensors_folder, tree_digest
from tests.support.processes import Event, Node, Process, Scene

END_S = 120.0
STRANGER = SecretKey(b"s" * 32).peer_id
MIB = 1 << 20
MODEL_BYTES = 24 * MIB
HALF = MODEL_BYTES // 2


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make_safetensors_folder(tmp_path / "model", MODEL_BYTES, files=6)


def ended(process: Process) -> tuple[int, Event]:
    """Return how a command ended: its exit code and the last event it printed."""
    code = process.finish(timeout_s=END_S)
    return code, process.events[-1]


def fetch(scene: Scene, reference: str, into: Path, *arguments: str, title: str = "fetcher") -> Process:
    return scene.start_fetch(title, reference, into, arguments=arguments)


def served(scene: Scene, source: Path) -> tuple[Node, str]:
    """Start a publisher; return it and its reference."""
    node = scene.node("publisher")
    return node, scene.publish("publisher", source, name="model")["reference"]


# --- whom to ask ------------------------------------------------------------------------------------------------------


def test_an_unknown_name_is_not_found_and_says_who_was_asked(scene: Scene, tmp_path: Path) -> None:
    node = scene.node("publisher")
    unknown = f"{node.publisher_id}/nothing"
    code, said = ended(fetch(scene, unknown, tmp_path / "out", "--provider", node.address))
    assert (code, said["event"], said["code"]) == (3, "failed", 3)
    assert node.address in said["message"]
    assert said["hint"]
    assert not (tmp_path / "out").exists()


def test_a_manifest_that_nobody_holds_has_no_provider_and_says_who_was_asked(
    scene: Scene, source: Path, tmp_path: Path
) -> None:
    published = scene.publish("offline", source, name="model")
    other = scene.node("other")
    code, said = ended(fetch(scene, published["manifest"], tmp_path / "out", "--provider", other.address))
    assert (code, said["code"]) == (7, 7)
    assert other.peer_id in said["message"]
    assert not (tmp_path / "out").exists()


def test_a_ticket_whose_only_provider_is_gone_has_no_provider(scene: Scene, source: Path, tmp_path: Path) -> None:
    node = scene.node("publisher")
    ticket = scene.publish("publisher", source, name="model")["ticket"]
    node.kill()
    code, said = ended(fetch(scene, ticket, tmp_path / "out", "--provider", node.address))
    assert code == 7
    assert node.peer_id in said["message"]


@contextmanager
def bootstrap_that_is(kind: str, good: Node) -> Iterator[str]:
    """Yield the address of a bootstrap node that is dead, somebody else, or accepts and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        if kind == "dead":
            silent.close()
        elif kind == "wrong":
            port = int(good.address.split("/")[4])
        yield f"/ip4/127.0.0.1/tcp/{port}/p2p/{STRANGER}"


@covers("F25")
@pytest.mark.parametrize("kind", ["dead", "wrong", "silent"])
def test_a_bad_bootstrap_is_named_when_alone_and_no_hindrance_beside_a_good_one(
    kind: str, scene: Scene, source: Path, tmp_path: Path
) -> None:
    node, reference = served(scene, source)
    with bootstrap_that_is(kind, node) as bad:
        code, said = ended(fetch(scene, reference, tmp_path / "out", "--bootstrap", bad, title="alone"))
        assert code == 7  # It is not unknown: nobody was there to be asked.
        assert str(STRANGER) in said["message"]
        code, said = ended(
            fetch(scene, reference, tmp_path / "out", "--bootstrap", bad, "--bootstrap", node.address, title="beside")
        )
        assert (code, said["event"]) == (0, "done"), said
    assert tree_digest(tmp_path / "out") == tree_digest(source)


# --- what to believe --------------------------------------------------------------------------------------------------


def rewrite_release(scene: Scene, title: str, **changes: int) -> bytes:
    """Have the home `title` publish its release with other fields, signed by its own key. Returns the former one."""
    key, _ = load_or_create(scene.home(title))
    ledger = FileLedger(scene.home(title))
    (item,) = ledger.publications()
    release = msgspec.structs.replace(read_release(item.signed), **changes)
    ledger.publish(msgspec.structs.replace(item, signed=sign_release(key, release)))
    ledger.close()
    return item.signed


@covers("T12")
def test_an_expired_release_is_not_trusted(scene: Scene, source: Path, tmp_path: Path) -> None:
    reference = scene.publish("publisher", source, name="model")["reference"]
    long_ago = int(time.time()) - limits.RELEASE_LIFETIME_S
    rewrite_release(scene, "publisher", created=long_ago - 10, expires=long_ago + limits.RELEASE_LIFETIME_S - 10)
    node = scene.node("publisher")
    code, said = ended(fetch(scene, reference, tmp_path / "out", "--provider", node.address))
    assert (code, said["code"]) == (4, 4)
    assert "expired" in said["message"]
    assert not (tmp_path / "out").exists()


@covers("T16", "T19")
def test_a_forged_release_is_not_trusted(scene: Scene, source: Path, tmp_path: Path) -> None:
    reference = scene.publish("publisher", source, name="model")["reference"]
    ledger = FileLedger(scene.home("publisher"))
    (item,) = ledger.publications()
    forged = bytes([*item.signed[:-1], item.signed[-1] ^ 1])
    ledger.publish(msgspec.structs.replace(item, signed=forged))
    ledger.close()
    node = scene.node("publisher")
    code, said = ended(fetch(scene, reference, tmp_path / "out", "--provider", node.address))
    assert (code, said["code"]) == (4, 4)
    assert node.popen.poll() is None
    assert not (tmp_path / "out").exists()


@covers("T27")
def test_a_signed_release_that_is_none_is_damage(scene: Scene, source: Path, tmp_path: Path) -> None:
    reference = scene.publish("publisher", source, name="model")["reference"]
    key, _ = load_or_create(scene.home("publisher"))
    ledger = FileLedger(scene.home("publisher"))
    (item,) = ledger.publications()
    ledger.publish(msgspec.structs.replace(item, signed=seal(key, DOMAIN, b"\xa5 no record at all")))
    ledger.close()
    node = scene.node("publisher")
    code, said = ended(fetch(scene, reference, tmp_path / "out", "--provider", node.address))
    assert (code, said["code"]) == (5, 5)
    assert node.popen.poll() is None
    assert not (tmp_path / "out").exists()


@covers("T11")
def test_a_release_that_was_rolled_back_is_not_trusted(scene: Scene, source: Path, tmp_path: Path) -> None:
    reference = scene.publish("publisher", source, name="model")["reference"]
    newest = int(time.time() * 1000) + 1000
    older = rewrite_release(scene, "publisher", sequence=newest)
    node = scene.node("publisher")
    assert ended(fetch(scene, reference, tmp_path / "first", "--provider", node.address))[0] == 0
    node.stop()
    rewrite_release(scene, "publisher", sequence=read_release(older).sequence)
    node = scene.node("publisher")
    code, said = ended(fetch(scene, reference, tmp_path / "second", "--provider", node.address))
    assert (code, said["code"]) == (4, 4)
    assert "rolled back" in said["message"]
    assert not (tmp_path / "second").exists()


# --- where to put it --------------------------------------------------------------------------------------------------


def test_a_folder_with_another_file_of_that_name_is_left_alone(scene: Scene, source: Path, tmp_path: Path) -> None:
    node, reference = served(scene, source)
    into = tmp_path / "out"
    into.mkdir()
    (into / "config.json").write_text("mine")
    (into / "diary.txt").write_text("mine, too")
    before = tree_digest(into)
    code, said = ended(fetch(scene, reference, into, "--provider", node.address))
    assert (code, said["code"]) == (6, 6)
    assert "config.json" in said["message"]
    assert "--force" in said["hint"]
    assert tree_digest(into) == before
    code, said = ended(fetch(scene, reference, into, "--provider", node.address, "--force"))
    assert (code, said["event"]) == (0, "done")
    assert tree_digest(into) == {**tree_digest(source), "diary.txt": before["diary.txt"]}


def test_what_an_earlier_version_left_where_a_newer_one_is_fetched_is_told(
    scene: Scene, source: Path, tmp_path: Path
) -> None:
    (source / "old.txt").write_text("no part of what comes next")
    node, reference = served(scene, source)
    into = tmp_path / "out"
    first = fetch(scene, reference, into, "--provider", node.address)
    assert ended(first)[0] == 0
    (source / "old.txt").unlink()
    scene.publish("publisher", source, name="model")
    second = fetch(scene, reference, into, "--provider", node.address)
    assert ended(second)[0] == 0
    told = [[event["paths"] for event in each.events if event["event"] == "files_left"] for each in (first, second)]
    assert told == [[], [["old.txt"]]]


@dataclasses.dataclass
class Mounted:
    """A tmpfs in a mount namespace of its own: `path` as commands within see it, `seen` as this process does."""

    holder: subprocess.Popen[str]
    path: Path

    @property
    def seen(self) -> Path:
        return Path(f"/proc/{self.holder.pid}/root{self.path}")

    @property
    def program(self) -> tuple[str, ...]:
        """p2phub, run within."""
        return ("nsenter", "-t", str(self.holder.pid), "-m", sys.executable, "-m", "p2phub")

    def remount(self, options: str) -> None:
        enter = ["nsenter", "-t", str(self.holder.pid), "-m", "mount", "-o", f"remount,{options}", str(self.path)]
        subprocess.run(enter, check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Mounted]:
    """A disk of 64 MiB that only processes of this test see."""
    if os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("nsenter") is None:
        pytest.skip("mounting a small disk takes root, unshare and nsenter")
    path = tmp_path / "small"
    path.mkdir()
    script = 'mount -t tmpfs -o size=64m none "$0" && echo mounted && exec sleep 600'
    command = ["unshare", "-m", "--propagation", "private", "sh", "-c", script, str(path)]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stderr is not None
        if holder.stdout.readline() != "mounted\n":
            pytest.skip(f"no mount namespace here: {holder.stderr.read().strip()}")
        yield Mounted(holder, path)
    finally:
        holder.kill()
        holder.communicate()


@covers("F04", "T26")
def test_a_model_larger_than_the_disk_is_refused_before_it_comes(small_disk: Mounted, tmp_path: Path) -> None:
    source = make_safetensors_folder(tmp_path / "model", 100 * MIB)
    with Scene(tmp_path / "out-there") as outside, Scene(tmp_path / "within", program=small_disk.program) as within:
        node, reference = served(outside, source)
        code, said = ended(fetch(within, reference, small_disk.path / "out", "--provider", node.address))
        assert (code, said["code"]) == (6, 6)
        assert said["hint"]
        assert not list(small_disk.seen.iterdir())


@covers("F04")
def test_a_disk_that_fills_up_on_the_way_ends_clearly_and_the_same_command_resumes(
    small_disk: Mounted, source: Path, tmp_path: Path
) -> None:
    with Scene(tmp_path / "out-there") as outside, Scene(tmp_path / "within", program=small_disk.program) as within:
        node, reference = served(outside, source)
        # Of six files most are still to be made then: what has its place already needs no more room.
        with gate(parse_peer_address(node.address), bytes_max=HALF // 4) as held:
            process = fetch(within, reference, small_disk.path / "out", "--provider", held.address)
            process.wait_for("started", timeout_s=END_S)
            with pytest.raises(OSError, match="No space left"):
                fill(small_disk.seen / "filler")
            held.open()
            code, said = ended(process)
        assert (code, said["code"]) == (6, 6), said
        assert "space" in said["message"] or "full" in said["message"]
        (small_disk.seen / "filler").unlink()
        again = fetch(within, reference, small_disk.path / "out", "--provider", node.address)
        code, said = ended(again)
        assert (code, said["event"]) == (0, "done"), said
        assert tree_digest(small_disk.seen / "out") == tree_digest(source)


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


@covers("F04")
def test_a_home_on_a_full_disk_tells_of_itself_and_makes_room(
    small_disk: Mounted, source: Path, tmp_path: Path
) -> None:
    home = small_disk.path / "home"
    with Scene(tmp_path / "out-there") as outside, Scene(tmp_path / "within", program=small_disk.program) as within:
        node, reference = served(outside, source)
        for words in (["pin", reference, "--provider", node.address], ["unpin", reference]):
            code, said = ended(within.start("any", *words, "--home", home))
            assert code == 0, said
        with pytest.raises(OSError, match="No space left"):
            fill(small_disk.seen / "filler")
        for words in (["ls"], ["gc", "--dry-run"], ["gc"]):
            code, said = ended(within.start("any", *words, "--home", home))
            assert code == 0, said
    assert not list((small_disk.seen / "home" / "files").iterdir())


@covers("F06")
def test_a_read_only_disk_is_a_clear_error(small_disk: Mounted, source: Path, tmp_path: Path) -> None:
    with Scene(tmp_path / "out-there") as outside, Scene(tmp_path / "within", program=small_disk.program) as within:
        node, reference = served(outside, source)
        small_disk.remount("ro")
        code, said = ended(fetch(within, reference, small_disk.path / "out", "--provider", node.address))
        assert (code, said["code"]) == (6, 6)
        assert "Read-only" in said["message"] or "read-only" in said["message"]


@covers("F06")
def test_a_home_on_a_read_only_disk_is_a_clear_error(small_disk: Mounted, source: Path, tmp_path: Path) -> None:
    small_disk.remount("ro")
    with Scene(tmp_path / "within", program=small_disk.program) as within:
        for words in (["publish", source, "--name", "model"], ["node", "--listen", "127.0.0.1:0", "--no-lan"]):
            code, said = ended(within.start("any", *words, "--home", small_disk.path / "home"))
            assert (code, said["code"]) == (6, 6), said
            assert "ead-only" in said["message"]


@covers("F07")
def test_two_fetches_into_one_folder_do_not_mix(scene: Scene, source: Path, tmp_path: Path) -> None:
    node, reference = served(scene, source)
    scene.publish("other", source, name="model")
    other = scene.node("other")
    with gate(parse_peer_address(node.address), bytes_max=HALF) as held:
        first = fetch(scene, reference, tmp_path / "out", "--provider", held.address)
        manifest = first.wait_for("started", timeout_s=END_S)["manifest"]
        code, said = ended(fetch(scene, manifest, tmp_path / "out", "--provider", other.address, title="second"))
        assert (code, said["code"]) == (6, 6), said
        held.open()
        assert ended(first)[1]["event"] == "done"
    assert tree_digest(tmp_path / "out") == tree_digest(source)


# --- ended in the middle ----------------------------------------------------------------------------------------------


@covers("F30")
@pytest.mark.parametrize("daemon", [False, True], ids=["without a daemon", "beside a daemon"])
def test_an_interrupted_fetch_says_so_and_the_same_command_resumes(
    daemon: bool, scene: Scene, source: Path, tmp_path: Path
) -> None:
    node, reference = served(scene, source)
    if daemon:
        scene.node("fetcher")
    into = tmp_path / "out"
    with gate(parse_peer_address(node.address), bytes_max=HALF) as held:
        process = fetch(scene, reference, into, "--provider", held.address)
        verified = 0
        while not verified:
            verified = process.wait_for("progress", timeout_s=END_S)["bytes_verified"]
        process.popen.send_signal(signal.SIGINT)
        assert process.finish(timeout_s=END_S) == 130
        while daemon and status(scene, "fetcher")["jobs"]:
            pass  # It ends the job when it notices that nobody listens any more.
    again = fetch(scene, reference, into, "--provider", node.address)
    assert again.wait_for("started", timeout_s=END_S)["bytes_held"] >= verified
    code, said = ended(again)
    assert (code, said["event"]) == (0, "done")
    assert tree_digest(into) == tree_digest(source)


@covers("F30")
def test_a_fetch_interrupted_while_it_resolves_leaves_nothing(scene: Scene, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"/ip4/127.0.0.1/tcp/{silent.getsockname()[1]}/p2p/{STRANGER}"
        process = fetch(scene, f"{STRANGER}/model", tmp_path / "out", "--provider", address)
        silent.accept()[0].close()  # It is asking.
        process.popen.send_signal(signal.SIGINT)
        assert process.finish(timeout_s=END_S) == 130
    assert not (tmp_path / "out").exists()


@covers("F30")
def test_an_interrupted_publish_publishes_nothing_and_can_be_repeated(scene: Scene, tmp_path: Path) -> None:
    source = make_safetensors_folder(tmp_path / "model", 600 * MIB, files=2)
    before = tree_digest(source)
    process = scene.start("publisher", "publish", source, "--name", "model")
    process.wait_for("progress", timeout_s=END_S)
    process.popen.send_signal(signal.SIGINT)
    code = process.finish(timeout_s=END_S)
    if process.events[-1]["event"] != "published":  # It was faster than the signal.
        assert code == 130
        ls = scene.start("publisher", "ls")
        assert ended(ls)[1]["items"] == []
    published = scene.publish("publisher", source, name="model")
    assert published["files"] == len(before)
    assert tree_digest(source) == before
    shutil.rmtree(source)


def test_a_fetch_whose_first_answer_comes_slowly_goes_on(scene: Scene, source: Path, tmp_path: Path) -> None:
    """A link that says that bytes come, before the manifest is whole, has nothing verified to tell of."""
    node, reference = served(scene, source)
    with gate(parse_peer_address(node.address), bytes_max=300_000) as held:
        process = fetch(scene, reference, tmp_path / "out", "--provider", held.address)
        held.shut.wait(END_S)
        threading.Event().wait(3)  # Longer than the watchdog of links keeps quiet; there is nothing to see from here.
        held.open()
        code, said = ended(process)
    assert (code, said["event"]) == (0, "done"), said
    assert tree_digest(tmp_path / "out") == tree_digest(source)


# --- damage -----------------------------------------------------------------------------------------------------------


@covers("F08")
@pytest.mark.parametrize("damage", ["garbage", "truncated", "deleted"])
def test_a_damaged_index_is_made_anew_and_what_was_published_is_served(
    damage: str, scene: Scene, source: Path, tmp_path: Path
) -> None:
    reference = scene.publish("publisher", source, name="model")["reference"]
    found = [path for path in scene.home("publisher").rglob("*") if path.is_file()]
    (database,) = [path for path in found if path.read_bytes().startswith(b"SQLite format 3")]
    match damage:
        case "garbage":
            database.write_bytes(b"\xa5" * database.stat().st_size)
        case "truncated":
            database.write_bytes(database.read_bytes()[:700])
        case _:
            database.unlink()
    node = scene.node("publisher")
    code, said = ended(fetch(scene, reference, tmp_path / "out", "--provider", node.address))
    assert (code, said["event"]) == (0, "done"), said
    assert tree_digest(tmp_path / "out") == tree_digest(source)


# --- the end ----------------------------------------------------------------------------------------------------------


def test_a_node_that_serves_and_is_besieged_stops_within_two_seconds_of_sigterm(scene: Scene, tmp_path: Path) -> None:
    """The fastest of three: a machine that is busy with other things slows any one of them."""
    source = make_safetensors_folder(tmp_path / "model", 300 * MIB)
    reference = scene.publish("publisher", source, name="model")["reference"]
    took = []
    for number in range(3):
        node = scene.node("publisher")
        process = fetch(scene, reference, tmp_path / f"out{number}", "--provider", node.address, title=f"to{number}")
        process.wait_for("started", timeout_s=END_S)
        with hostile.half_open(parse_peer_address(node.address).address, 50):
            began = time.monotonic()
            node.popen.terminate()
            assert node.popen.wait(timeout=30) == 0
            took.append(time.monotonic() - began)
        node.finish(timeout_s=END_S)
        assert node.events[-1]["event"] == "stopped"
        process.kill()
        shutil.rmtree(tmp_path / f"out{number}")
    shutil.rmtree(source)
    assert min(took) < 2.0, took
