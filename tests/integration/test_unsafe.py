"""Files that may run code when they are loaded are not put where a tool finds them, unless the user says so (0092)."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from p2phub import limits
from p2phub.identity import parse_peer_address
from tests.support.covers import covers
from tests.support.folders import write_files
from tests.support.gate import gate
from tests.support.models import tree_digest
from tests.support.processes import Event, Node, Scene
from tests.support.stores import files_below

END_S = 60.0


class Payload:
    """What writes a file if it is unpickled. It never is."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.marker}",)


def torch_file(payload: object, weights: int) -> bytes:
    """Return what torch writes: a zip, not packed, of a pickle and of raw numbers."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(payload, 2))
        archive.writestr("archive/data/0", bytes(weights))
        archive.writestr("archive/version", b"3\n")
    return out.getvalue()


def published(scene: Scene, folder: Path) -> tuple[str, Node]:
    told = scene.publish("ann", folder, name="m")
    assert told["remarks"]
    return told["reference"], scene.node("ann")


def fetch(scene: Scene, reference: str, address: str, out: Path, *words: str) -> tuple[int, list[Event]]:
    process = scene.start("bob", "fetch", reference, "--provider", address, "--into", out, "--no-lan", *words)
    code = process.finish(timeout_s=END_S)
    return code, process.events


@covers("T31", "T32")
@pytest.mark.parametrize("daemon", [False, True])
def test_what_may_run_code_by_any_name_is_kept_out_of_place_until_it_is_allowed(
    scene: Scene, tmp_path: Path, daemon: bool
) -> None:
    marker, out = tmp_path / "it ran", tmp_path / "out"
    unsafe = {
        "model.safetensors": pickle.dumps(Payload(marker)),
        "part/weights": torch_file(Payload(marker), 3 * limits.MIB),
    }
    safe = {
        "config.json": b"{}",
        "harmless.bin": bytes(2 * limits.MIB),
        "modeling.py": f"open({os.fspath(marker)!r}, 'w')".encode(),
        "real.safetensors": save({"a": np.zeros(9)}),
    }
    model = write_files(tmp_path / "model", unsafe | safe)
    reference, ann = published(scene, model)
    if daemon:
        scene.node("bob")

    code, events = fetch(scene, reference, ann.address, out)
    failed = events[-1]
    assert (code, failed["event"], failed["code"]) == (4, "failed", 4)
    assert "model.safetensors (a pickle" in failed["message"]
    assert "part/weights (a zip with 'archive/data.pkl' in it" in failed["message"]
    assert "harmless" not in failed["message"]
    for way_out in ("--allow-unsafe", "--exclude PATTERN"):
        assert way_out in failed["hint"]
    assert files_below(out) == safe
    ls = scene.start("bob", "ls")
    assert ls.wait_for("ls", timeout_s=END_S)["items"] == []

    code, events = fetch(scene, reference, ann.address, out, "--allow-unsafe")
    done = events[-1]
    assert (code, done["event"], done["bytes_received"]) == (0, "done", 0)
    assert tree_digest(out) == tree_digest(model)
    assert not marker.exists()


@covers("T31")
@pytest.mark.parametrize(("kind", "name"), [("pickle", "weights.pt"), ("torch", "weights.bin")])
def test_a_large_pickle_is_refused_before_it_is_fetched(scene: Scene, tmp_path: Path, kind: str, name: str) -> None:
    """What is let through is a tenth of it, and never more."""
    size, through, out = 64 * limits.MIB, 6 * limits.MIB, tmp_path / "out"
    data = torch_file({}, size) if kind == "torch" else pickle.dumps(bytes(size))
    model = write_files(tmp_path / "model", {"a.txt": b"text" * limits.MIB, name: data, "z.txt": b"text" * limits.MIB})
    reference, ann = published(scene, model)
    with gate(parse_peer_address(ann.address), bytes_max=through) as held:
        code, events = fetch(scene, reference, held.address, out)
    assert code == 4
    assert f"{name} (a " in events[-1]["message"]
    assert name not in files_below(out)

    code, events = fetch(scene, reference, ann.address, out, "--allow-unsafe")
    [started] = [event for event in events if event["event"] == "started"]
    assert 0 < started["bytes_held"] <= through
    assert (code, events[-1]["bytes_received"]) == (0, started["bytes_total"] - started["bytes_held"])
    assert tree_digest(out) == tree_digest(model)


@covers("T31")
def test_what_is_left_out_is_no_danger_and_no_repair_brings_it(scene: Scene, tmp_path: Path) -> None:
    """But what was allowed once is put right without a word."""
    out = tmp_path / "out"
    files = {"weights.pt": pickle.dumps({"a": 1}), "real.safetensors": save({"a": np.ones(9)})}
    model = write_files(tmp_path / "model", files)
    reference, ann = published(scene, model)
    repair = ("verify", out, "--repair", "--provider", ann.address, "--no-lan")

    code, events = fetch(scene, reference, ann.address, out, "--exclude", "*.pt")
    assert (code, events[-1]["event"]) == (0, "done")
    assert scene.start("bob", *repair, "--allow-unsafe").finish(timeout_s=END_S) == 0
    assert list(files_below(out)) == ["real.safetensors"]

    code, _ = fetch(scene, reference, ann.address, out, "--allow-unsafe")
    assert code == 0
    assert tree_digest(out) == tree_digest(model)
    (out / "weights.pt").write_bytes(b"damaged")
    assert scene.start("bob", *repair).finish(timeout_s=END_S) == 0
    assert tree_digest(out) == tree_digest(model)


@covers("T31")
def test_a_pin_keeps_what_may_run_code_out_of_place_until_it_is_allowed(scene: Scene, tmp_path: Path) -> None:
    model = write_files(tmp_path / "model", {"weights": pickle.dumps({"a": 1}), "config.json": b"{}"})
    reference, ann = published(scene, model)
    pin = ("pin", reference, "--provider", ann.address, "--no-lan")
    refused = scene.start("bob", *pin)
    assert refused.finish(timeout_s=END_S) == 4
    assert not any("weights" in path for path in files_below(scene.home("bob") / "files"))
    allowed = scene.start("bob", *pin, "--allow-unsafe")
    assert allowed.finish(timeout_s=END_S) == 0
    assert allowed.events[-1]["fetched"]["bytes_received"] == 0
    assert tree_digest(Path(allowed.events[-1]["folder"])) == tree_digest(model)
