"""A manifest goes from folder to folder over real sockets and real stores, within one process."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from p2phub import limits
from p2phub.content import digest_of
from p2phub.discovery import Candidate
from p2phub.errors import DiskError, NoProvider, Occupied, UsageError
from p2phub.identity import Address, PeerAddress
from p2phub.net import Opened
from p2phub.observe import PeerDropped, Progress, Source, Started
from tests.support.covers import covers
from tests.support.hosts import FixedFinder, key_of, open_host
from tests.support.models import make_dataset_folder, make_safetensors_folder, tree_digest

MODEL_BYTES = 12 << 20


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make_safetensors_folder(tmp_path / "model", MODEL_BYTES, files=3, seed=7)


async def test_a_model_arrives_bit_for_bit_and_nothing_else_is_left_behind(tmp_path: Path, model: Path) -> None:
    before = tree_digest(model)
    async with open_host(tmp_path / "a", "ann") as ann, open_host(tmp_path / "b", "bob") as bob:
        published = await ann.publish(model)
        done = await bob.fetch(published.manifest, tmp_path / "out", ann)
    assert tree_digest(tmp_path / "out") == tree_digest(model) == before
    assert not (tmp_path / "out" / ".p2phub").exists()
    assert done.bytes_received == published.bytes
    assert [source.peer_id for source in done.sources] == [str(ann.key.peer_id)]
    assert [type(event) for event in bob.events][:2] == [Source, Started]


async def test_a_dataset_with_an_empty_file_and_a_foreign_name_arrives_bit_for_bit(tmp_path: Path) -> None:
    dataset = make_dataset_folder(tmp_path / "data")
    async with open_host(tmp_path / "a", "ann") as ann, open_host(tmp_path / "b", "bob") as bob:
        published = await ann.publish(dataset, kind="dataset")
        await bob.fetch(published.manifest, tmp_path / "out", ann)
    assert tree_digest(tmp_path / "out") == tree_digest(dataset)


async def test_progress_never_runs_backwards_and_ends_with_every_byte(tmp_path: Path, model: Path) -> None:
    async with open_host(tmp_path / "a", "ann") as ann, open_host(tmp_path / "b", "bob") as bob:
        published = await ann.publish(model)
        await bob.fetch(published.manifest, tmp_path / "out", ann)
    told = [event.bytes_verified for event in bob.events if isinstance(event, Progress)]
    assert told == sorted(told)
    assert told[-1] == published.bytes


async def test_what_was_fetched_is_served_on(tmp_path: Path, model: Path) -> None:
    async with open_host(tmp_path / "a", "ann") as ann, open_host(tmp_path / "b", "bob") as bob:
        published = await ann.publish(model)
        await bob.fetch(published.manifest, tmp_path / "out", ann)
        async with open_host(tmp_path / "c", "cyd") as cyd:
            done = await cyd.fetch(published.manifest, tmp_path / "again", bob)
    assert tree_digest(tmp_path / "again") == tree_digest(model)
    assert [source.peer_id for source in done.sources] == [str(bob.key.peer_id)]


async def test_two_providers_share_the_work_and_no_byte_comes_twice(tmp_path: Path) -> None:
    model = make_safetensors_folder(tmp_path / "model", 96 << 20, files=4, seed=8)
    async with open_host(tmp_path / "a", "ann") as ann, open_host(tmp_path / "b", "bob") as bob:
        published = await ann.publish(model)
        await bob.publish(model)
        async with open_host(tmp_path / "c", "cyd") as cyd:
            done = await cyd.fetch(published.manifest, tmp_path / "out", ann, bob)
    assert tree_digest(tmp_path / "out") == tree_digest(model)
    assert {source.peer_id for source in done.sources} == {str(ann.key.peer_id), str(bob.key.peer_id)}
    assert done.bytes_received == published.bytes


async def test_equal_files_that_are_there_are_kept_and_only_the_rest_is_moved(tmp_path: Path, model: Path) -> None:
    first = sorted(model.glob("*.safetensors"))[0]
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / first.name).write_bytes(first.read_bytes())
    kept = os.stat(tmp_path / "out" / first.name).st_ino
    async with open_host(tmp_path / "a", "ann") as ann, open_host(tmp_path / "b", "bob") as bob:
        published = await ann.publish(model)
        done = await bob.fetch(published.manifest, tmp_path / "out", ann)
    assert tree_digest(tmp_path / "out") == tree_digest(model)
    assert os.stat(tmp_path / "out" / first.name).st_ino == kept
    assert done.bytes_reused == first.stat().st_size
    assert done.bytes_received <= published.bytes - first.stat().st_size + (1 << 20)  # The first flight is a guess.


async def test_other_files_there_are_never_overwritten_unless_forced(tmp_path: Path, model: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "config.json").write_text("mine")
    (tmp_path / "out" / "notes.txt").write_text("mine too")
    async with open_host(tmp_path / "a", "ann") as ann, open_host(tmp_path / "b", "bob") as bob:
        published = await ann.publish(model)
        with pytest.raises(Occupied, match=r"config\.json"):
            await bob.fetch(published.manifest, tmp_path / "out", ann)
        assert (tmp_path / "out" / "config.json").read_text() == "mine"
        await bob.fetch(published.manifest, tmp_path / "out", ann, force=True)
    assert (tmp_path / "out" / "config.json").read_bytes() == (model / "config.json").read_bytes()
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine too"


async def test_a_second_fetch_of_what_is_there_moves_no_payload(tmp_path: Path, model: Path) -> None:
    async with open_host(tmp_path / "a", "ann") as ann, open_host(tmp_path / "b", "bob") as bob:
        published = await ann.publish(model)
        await bob.fetch(published.manifest, tmp_path / "out", ann)
        again = await bob.fetch(published.manifest, tmp_path / "out", ann)
    assert (again.bytes_received, again.bytes_reused) == (0, published.bytes)


@covers("F05", "T53")
@pytest.mark.parametrize("harm", ["changed", "truncated", "deleted"])
async def test_a_published_file_that_was_harmed_is_never_served_wrong(tmp_path: Path, model: Path, harm: str) -> None:
    victim = sorted(model.glob("*.safetensors"))[1]
    async with open_host(tmp_path / "a", "ann") as ann, open_host(tmp_path / "b", "bob") as bob:
        published = await ann.publish(model)
        match harm:
            case "changed":
                with victim.open("r+b") as file:
                    file.seek(1000)
                    file.write(b"other bytes")
            case "truncated":
                os.truncate(victim, 1000)
            case "deleted":
                victim.unlink()
        with pytest.raises(NoProvider):
            await bob.fetch(published.manifest, tmp_path / "out", ann)
        assert not (tmp_path / "out" / victim.name).exists()
        assert not [event for event in bob.events if isinstance(event, PeerDropped) and event.chunk is not None]


@covers("F05")
async def test_a_harmed_provider_is_completed_by_a_sound_one(tmp_path: Path, model: Path) -> None:
    other = make_safetensors_folder(tmp_path / "other", MODEL_BYTES, files=3, seed=7)
    async with open_host(tmp_path / "a", "ann") as ann, open_host(tmp_path / "b", "bob") as bob:
        published = await ann.publish(model)
        await bob.publish(other)
        sorted(model.glob("*.safetensors"))[0].unlink()
        async with open_host(tmp_path / "c", "cyd") as cyd:
            await cyd.fetch(published.manifest, tmp_path / "out", ann, bob)
    assert tree_digest(tmp_path / "out") == tree_digest(other)


async def test_nobody_who_has_it_is_an_error_that_says_who_was_asked(tmp_path: Path) -> None:
    nowhere = Candidate(PeerAddress(key_of("gone").peer_id, Address("127.0.0.1", 9)), "direct")
    async with open_host(tmp_path / "a", "ann") as ann, open_host(tmp_path / "b", "bob") as bob:
        with pytest.raises(NoProvider, match=str(ann.key.peer_id)) as caught:
            await bob.fetch(digest_of(b"unheard of"), tmp_path / "out", ann, also=[nowhere])
        assert str(nowhere.provider.peer) in str(caught.value)
    assert not (tmp_path / "out").exists()


async def test_finders_are_asked_only_when_the_known_providers_fail(tmp_path: Path, model: Path) -> None:
    async with open_host(tmp_path / "a", "ann") as ann, open_host(tmp_path / "b", "bob") as bob:
        published = await ann.publish(model)
        unneeded = FixedFinder()
        await bob.fetch(published.manifest, tmp_path / "out", ann, finder=unneeded)
        assert unneeded.searches == 0
        async with open_host(tmp_path / "c", "cyd") as cyd:
            needed = FixedFinder(ann.candidates)
            await cyd.fetch(published.manifest, tmp_path / "out2", finder=needed)
            assert needed.searches == 1


@covers("T58")
async def test_a_private_manifest_is_for_those_allowed_and_unknown_to_others(tmp_path: Path, model: Path) -> None:
    async with open_host(tmp_path / "a", "ann") as ann, open_host(tmp_path / "b", "bob") as bob:
        published = await ann.publish(model, private=True, allow=(bob.key.peer_id,))
        async with open_host(tmp_path / "c", "cyd") as cyd:
            with pytest.raises(NoProvider):
                await cyd.fetch(published.manifest, tmp_path / "stolen", ann)
        await bob.fetch(published.manifest, tmp_path / "out", ann)
    assert tree_digest(tmp_path / "out") == tree_digest(model)


async def test_a_folder_with_a_secret_is_refused_unless_the_secret_is_named(tmp_path: Path, model: Path) -> None:
    (model / ".env").write_text("TOKEN=1")
    async with open_host(tmp_path / "a", "ann") as ann:
        with pytest.raises(UsageError, match=r"\.env"):
            await ann.publish(model)
        outcome = await ann.publish(model, include=(".env",))
        assert outcome.files == sum(1 for path in model.rglob("*") if path.is_file())


async def test_publishing_again_hashes_only_what_changed(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A fingerprint is trusted only some seconds after the last change; those pass here on the clock alone.
    later_ns = time.time_ns() + 60 * 10**9
    monkeypatch.setattr("p2phub.engine.hashing_all.time.time_ns", lambda: later_ns)
    async with open_host(tmp_path / "a", "ann") as ann:
        first = await ann.publish(model)
        again = await ann.publish(model)
        (model / "config.json").write_text('{"other": true}')
        changed = await ann.publish(model)
    assert (first.bytes_hashed, again.bytes_hashed) == (first.bytes, 0)
    assert changed.bytes_hashed == len('{"other": true}')
    assert first.manifest == again.manifest != changed.manifest
    assert first.release.sequence < again.release.sequence < changed.release.sequence
    assert changed.release.previous == first.manifest


async def test_a_file_that_changed_a_moment_ago_is_hashed_again(tmp_path: Path, model: Path) -> None:
    async with open_host(tmp_path / "a", "ann") as ann:
        await ann.publish(model)
        again = await ann.publish(model)
    assert again.bytes_hashed == again.bytes


@covers("F06")
async def test_a_read_only_destination_is_a_clear_error(tmp_path: Path, model: Path) -> None:
    async with open_host(tmp_path / "a", "ann") as ann, open_host(tmp_path / "b", "bob") as bob:
        published = await ann.publish(model)
        with pytest.raises(DiskError):
            await bob.fetch(published.manifest, Path("/proc/p2phub-cannot-be-here"), ann)


@covers("T37")
async def test_a_provider_that_is_busy_now_is_waited_for(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_host(tmp_path / "a", "ann") as ann, open_host(tmp_path / "b", "bob") as bob:
        published = await ann.publish(model)
        has_place = iter([False, False])
        monkeypatch.setattr(ann.plane.reception, "_has_place", lambda *_: next(has_place, True))
        monkeypatch.setattr("p2phub.engine.providers.RETRY_S", (0.01,))
        await bob.fetch(published.manifest, tmp_path / "out", ann, patience_s=30)
    assert tree_digest(tmp_path / "out") == tree_digest(model)
    assert "serves as many as it can" in next(event.reason for event in bob.events if isinstance(event, PeerDropped))


@covers("T37")
async def test_idle_connections_do_not_keep_a_newcomer_out(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "DATA_CONNECTIONS_MAX", 2)
    monkeypatch.setattr(limits, "GIVES_WAY_S", 0.0)
    async with open_host(tmp_path / "a", "ann") as ann, open_host(tmp_path / "b", "bob") as bob:
        published = await ann.publish(model)
        async with open_host(tmp_path / "e", "eve") as eve:
            for _ in range(2):
                link = await eve.plane.open_link(
                    ann.candidates[0].provider, published.manifest, prefix_bytes=0, via="direct"
                )
                assert isinstance(await link.next_report(), Opened)
            await bob.fetch(published.manifest, tmp_path / "out", ann)
    assert tree_digest(tmp_path / "out") == tree_digest(model)
