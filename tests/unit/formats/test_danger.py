"""What may run code when it is loaded, against the tools that write it: pickle, torch's and joblib's layouts, NumPy."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import pickle
import pickletools
import random
import tarfile
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from p2phub import limits
from p2phub.formats import REFUSED_NAMED_MAX, danger_of, is_code, refusal, suspect, telling_spans
from p2phub.formats.danger import BEGINNINGS
from tests.support.covers import covers
from tests.support.reading import reader


class Payload:
    """What would run a command if it was unpickled. It never is."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("true",)


def danger(data: bytes) -> str | None:
    return danger_of(len(data), reader(data))


def pickled(protocol: int) -> bytes:
    return pickle.dumps(Payload(), protocol)


def zipped(members: dict[str, bytes], *, method: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def tarred(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def numpy_file(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=True)
    return out.getvalue()


def npy_of(descr: str) -> bytes:
    """Return a NumPy file of a type as its header says it."""
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': (2,), }}\n".encode()
    return b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header + bytes(64)


def old_tar(members: dict[str, bytes]) -> bytes:
    """Return a tar as before POSIX, whose headers have a checksum and no magic."""
    data = bytearray(tarred(members))
    data[257:265] = bytes(8)
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    return bytes(data)


def tar_member(name: bytes, content: bytes, *, kind: bytes = b"0", length: int | None = None) -> bytes:
    header = bytearray(512)
    header[: len(name)] = name
    header[124:135] = b"%011o" % (len(content) if length is None else length)
    header[148:156] = b" " * 8
    header[156:157] = kind
    header[257:263] = b"ustar\0"
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + content + bytes(-len(content) % 512)


def pax(*records: tuple[bytes, bytes], kind: bytes = b"x") -> bytes:
    """Return an extended header, each of whose records says a length of two digits: its own."""
    content = b"".join(b"%d %s=%s\n" % (len(key) + len(value) + 5, key, value) for key, value in records)
    return tar_member(b"pax", content, kind=kind)


def deflated(content: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()


def gzipped(content: bytes, *, name: bytes = b"", before: bytes = b"", behind: bytes = b"") -> bytes:
    """Return `content` by gzip, behind a file's name and other blocks, and before more."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(content) + (packer.flush(zlib.Z_FULL_FLUSH) if behind else packer.flush())
    header = b"\x1f\x8b\x08" + (b"\x08" if name else b"\0") + bytes(4) + b"\0\xff" + (name + b"\0" if name else b"")
    end = zlib.crc32(content).to_bytes(4, "little") + len(content).to_bytes(4, "little")
    return header + before + packed + behind + end


EMPTY_BLOCK = b"\0\0\0\xff\xff"
WRONG_BLOCK = b"\x06"  # Of a kind that there is not.
EVIL_BEHIND = tar_member(b"evil", pickled(2))
HOLD = pickle.dumps([Payload(), random.Random(1).randbytes(3 << 20)])
TORCH = {"archive/data.pkl": pickled(2), "archive/data/0": bytes(64), "archive/version": b"3\n"}
OBJECTS = np.array([{"a": 1}, None], dtype=object)


@pytest.mark.parametrize(
    "data",
    [
        *(pytest.param(pickled(protocol), id=f"pickle protocol {protocol}") for protocol in range(6)),
        pytest.param(zipped(TORCH), id="torch"),
        pytest.param(zipped(TORCH, method=zipfile.ZIP_DEFLATED), id="torch, deflated"),
        pytest.param(zipped({"weights": pickled(4)}, method=zipfile.ZIP_DEFLATED), id="a zip with a renamed pickle"),
        pytest.param(zipped({"a.PKL": b""}, method=zipfile.ZIP_LZMA), id="a zip packed in another way"),
        pytest.param(tarred({"sys_info": b"", "pickle": pickled(2)}), id="torch before zip"),
        pytest.param(tarred({"x/" + "y" * 200: pickled(2)}), id="a tar with a long name"),
        pytest.param(old_tar({"pickle": pickled(2)}), id="a tar without its magic"),
        pytest.param(
            tar_member(b"x/", b"", kind=b"5", length=9_000) + EVIL_BEHIND, id="a tar behind a folder with a length"
        ),
        pytest.param(tar_member(b"x/", b"", kind=b"\0", length=9_000) + EVIL_BEHIND, id="a tar behind an old folder"),
        pytest.param(tar_member(b"x", b"", kind=b"S", length=9_000) + EVIL_BEHIND, id="a tar behind a file with holes"),
        pytest.param(
            pax((b"size", b"0")) + tar_member(b"x", b"", length=9_000) + EVIL_BEHIND, id="a tar with two lengths"
        ),
        pytest.param(
            pax((b"size", b"0")) + pax((b"a", b"b")) + tar_member(b"x", b"", length=9_000) + EVIL_BEHIND,
            id="a tar with two lengths, told before",
        ),
        pytest.param(
            pax((b"size", b"0"))
            + tar_member(b"long", b"name", kind=b"L")
            + tar_member(b"x", b"", length=9_000)
            + EVIL_BEHIND,
            id="a tar with two lengths and a long name",
        ),
        pytest.param(pax((b"size", b"0"), kind=b"g") + EVIL_BEHIND, id="a tar with one length for all"),
        pytest.param(zipped({"a.npy": numpy_file(OBJECTS)}, method=zipfile.ZIP_BZIP2), id="npz by bzip2"),
        pytest.param(zipped({"a.npy": numpy_file(OBJECTS)}, method=zipfile.ZIP_LZMA), id="npz by lzma"),
        pytest.param(gzipped(pickled(3), name=b"n" * 70_000), id="gzip with a long name"),
        pytest.param(gzipped(pickled(3), before=EMPTY_BLOCK * 14_000), id="gzip with empty blocks"),
        pytest.param(gzip.compress(b"") + bytes(300) + gzip.compress(pickled(3)), id="gzip behind an empty one"),
        pytest.param(gzip.compress(b"") + bytes(70_000) + gzip.compress(pickled(3)), id="gzip far behind an empty one"),
        pytest.param(gzip.compress(b"") * 4_000 + gzip.compress(pickled(3)), id="gzip behind thousands"),
        pytest.param(
            gzipped(pickled(3), behind=EMPTY_BLOCK * 2_000 + WRONG_BLOCK), id="gzip that is wrong when it is too late"
        ),
        pytest.param(zlib.compress(b"") + zlib.compress(pickled(3)), id="zlib behind an empty one"),
        pytest.param(b"ZF" + b"0x3e".ljust(19) + zlib.compress(pickled(3)), id="joblib before 0.10"),
        pytest.param(b"ZF" + b"0x3e".ljust(20) + zlib.compress(pickled(3)), id="joblib before 0.10, with a space"),
        pytest.param(bz2.compress(b"") + bz2.compress(pickled(3)), id="bz2 behind an empty one"),
        pytest.param(bz2.compress(HOLD), id="bz2 of a whole block"),
        pytest.param(lzma.compress(b"") + lzma.compress(pickled(3)), id="xz behind an empty one"),
        pytest.param(
            lzma.compress(b"") + lzma.compress(pickled(3), format=lzma.FORMAT_ALONE), id="lzma behind an empty xz"
        ),
        pytest.param(
            b"]" + bytes(17 + 18 * 500) + lzma.compress(pickled(3), format=lzma.FORMAT_ALONE), id="lzma behind zeros"
        ),
        pytest.param(lzma.compress(pickled(3), preset=9), id="xz -9"),
        pytest.param(
            lzma.compress(pickled(3), filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 28}]), id="xz of much memory"
        ),
        pytest.param(
            b"\x5d\0\x80\0\xff" + lzma.compress(pickled(3), format=lzma.FORMAT_ALONE)[5:], id="lzma with any dictionary"
        ),
        pytest.param(zlib.compress(pickled(3)), id="joblib, zlib"),
        pytest.param(gzip.compress(pickled(3)), id="joblib, gzip"),
        pytest.param(bz2.compress(pickled(3)), id="joblib, bz2"),
        pytest.param(lzma.compress(pickled(3)), id="joblib, xz"),
        pytest.param(lzma.compress(pickled(3), format=lzma.FORMAT_ALONE), id="joblib, lzma"),
        pytest.param(gzip.compress(pickled(0)), id="an old pickle, compressed"),
        pytest.param(numpy_file(OBJECTS), id="npy of objects"),
        pytest.param(
            numpy_file(np.zeros(2, dtype=[("a", "<f4"), ("b", [("c", "O")])])), id="npy with a field of objects"
        ),
        pytest.param(zipped({"a.npy": numpy_file(OBJECTS)}), id="npz of objects"),
        pytest.param(b"7z\xbc\xaf\x27\x1c" + bytes(100), id="7z"),
        pytest.param(save({"a": np.zeros(3)}) + zipped(TORCH), id="a zip behind safetensors"),
        pytest.param(b"cos\nsystem\n(S'true'\ntR.", id="a pickle by hand"),
        pytest.param(b"N" * 300 + b"cos\nsystem\n(S'true'\ntR.", id="an old pickle behind what does nothing"),
        pytest.param(b"(" + b"N" * (2 << 20), id="what does nothing for as far as is looked"),
        pytest.param(b"(0" * 40_000 + b"cos\nsystem\n(S'true'\ntR.", id="an old pickle that begins with nothing"),
        pytest.param(b"\x80\x02cos\nsystem\n(S'true'\ntR\xff", id="a pickle that is wrong when it is too late"),
        pytest.param(b"\x80\x02cthis\ns\n\xff", id="a pickle that imports a module and is wrong then"),
        pytest.param(b"\x80\x04I0x1\n0cos\nsystem\n(S'true'\ntR.", id="a pickle that pickletools cannot read"),
        pytest.param(npy_of("('|O', (2,))"), id="npy of arrays of objects"),
        pytest.param(npy_of("'object'"), id="npy of objects by another name"),
        pytest.param(npy_of(r"'\x4f'"), id="npy of objects in other letters"),
        pytest.param(npy_of("[('a', ('|O', (2,)))]"), id="npy with a field of arrays of objects"),
        pytest.param(npy_of("'|O', 'n': 2L"), id="npy of objects by Python 2"),
        pytest.param(b"(S'true'\nios\nsystem\n.", id="a pickle by hand, with inst"),
    ],
)
@covers("T31")
def test_what_can_run_code_when_it_is_loaded_is_found_by_content(data: bytes) -> None:
    assert danger(data) is not None


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(save({"a": np.zeros((3, 4))}), id="safetensors"),
        pytest.param(numpy_file(np.zeros(5)), id="npy"),
        pytest.param(numpy_file(np.zeros(3, dtype=[("Other", "<f4"), ("O", "<i4")])), id="npy with fields"),
        pytest.param(zipped({"a.npy": numpy_file(np.zeros(5)), "b": b"text"}), id="npz"),
        pytest.param(zipped({}), id="an empty zip"),
        pytest.param(tarred({"0001.jpg": b"\xff\xd8" + bytes(99), "0001.json": b"{}"}), id="webdataset"),
        pytest.param(gzip.compress(b'{"text": "a"}\n' * 99), id="jsonl, gzip"),
        pytest.param(b"classes\ncat\ndog\n", id="text that begins with c"),
        pytest.param(b"import os\nprint(1)\n", id="text that begins with i"),
        pytest.param(b"xz\xfd7zXZ\0" + bytes(9), id="text with a magic in it"),
        pytest.param(b"\x78\x9c" + bytes(40), id="no zlib"),
        pytest.param(b"GGUF" + bytes(40), id="gguf"),
        pytest.param(b"\x80\x02\xff" + bytes(99), id="what has the magic of a pickle by chance"),
        pytest.param(b"\x80\x03\x93\x00" + bytes(99), id="what has it, and a wrong opcode after a right one"),
        pytest.param(b"(dp0\n", id="the beginning of a pickle that calls nothing"),
        pytest.param(b"", id="nothing"),
        *(pytest.param(bytes((byte,)) * 1_000, id=f"a thousand of {bytes((byte,))!r}") for byte in b"N0(]2)}1tGKMJq"),
        *(pytest.param(bytes((byte,)) * 100_000, id=f"many of {bytes((byte,))!r}") for byte in b"N0(]2)}1"),
        pytest.param(b"]" + bytes(20_000), id="a small number and zeros, as an empty lzma"),
        pytest.param(b"]" + bytes(20_000) + b"\1" * 50, id="small numbers and zeros"),
        pytest.param(b"]" + bytes(100) + b"\1" + bytes(20_000), id="a few small numbers among zeros"),
        pytest.param(random.Random(4).randbytes(3 << 20), id="chance"),
        pytest.param(gzip.compress(random.Random(4).randbytes(1 << 17)), id="chance, gzip"),
        pytest.param(bz2.compress(random.Random(4).randbytes(3 << 20)), id="chance, bz2"),
        pytest.param(lzma.compress(random.Random(4).randbytes(1 << 17), preset=9), id="chance, xz"),
        pytest.param(
            zipped({"a": random.Random(4).randbytes(1 << 17)}, method=zipfile.ZIP_DEFLATED),
            id="chance, deflated in a zip",
        ),
        pytest.param(gzip.compress(b"{}\n") * 200, id="many small members, gzip"),
        pytest.param(gzip.compress(b"text")[:-9], id="gzip that was cut off"),
        pytest.param(gzip.compress(b"text") + b"behind it", id="gzip with something behind it"),
        pytest.param(old_tar({"a": b"text"}), id="a tar without its magic"),
        pytest.param(
            pax((b"size", b"4"), (b"mtime", b"1.5")) + tar_member(b"a", b"text", length=0)[:1024], id="a tar by pax"
        ),
        pytest.param(tar_member(b"x", b"", kind=b"5") + tar_member(b"x/a", b"text"), id="a tar with a folder"),
        pytest.param(b"x\x9c is no zlib, x\x01 neither", id="text that begins like zlib"),
        pytest.param("]{}".encode("utf-16-le") * 999, id="text that begins like lzma"),
    ],
)
def test_what_holds_data_alone_is_not_called_dangerous(data: bytes) -> None:
    assert danger(data) is None


def test_the_beginning_is_enough_of_a_pickle_and_the_end_of_a_zip() -> None:
    asked: list[tuple[int, int]] = []
    data = zipped({f"{number}.bin": bytes(200_000) for number in range(5)} | TORCH)

    def read(offset: int, length: int) -> bytes:
        asked.append((offset, length))
        return reader(data)(offset, length)

    assert "data.pkl" in (danger_of(len(data), read) or "")
    assert sum(length for _, length in asked) < 300_000 < len(data)


@given(
    st.sampled_from(
        [
            b"",
            b"PK\x03\x04",
            b"\x80\x02",
            b"\x1f\x8b\x08",
            b"\x93NUMPY",
            b"BZh9",
            b"\xfd7zXZ\0",
            b"]\0",
            b"x\x9c",
            b"N(",
        ]
    ),
    st.binary(max_size=300),
)
def test_any_bytes_are_dangerous_or_not(magic: bytes, rest: bytes) -> None:
    danger(magic + rest)


@given(st.data())
@covers("T31")
def test_a_damaged_archive_is_never_read_beyond_its_end(data: st.DataObject) -> None:
    good = bytearray(data.draw(st.sampled_from([zipped(TORCH), tarred(TORCH)])))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(max(0, len(good) - 400), len(good) - 1) | st.integers(0, len(good) - 1))
        good[at] = data.draw(st.integers(0, 255))
    danger(bytes(good))


@covers("T31")
def test_a_directory_that_says_it_is_huge_costs_nothing() -> None:
    """The standard library's zipfile would read all of it into memory."""
    entry = zipped({"a" * 60_000: b""})
    directory = entry[entry.index(b"PK\1\2") : entry.rindex(b"PK\5\6")]
    data = bytearray(entry[: entry.index(b"PK\1\2")] + directory * 300 + entry[entry.rindex(b"PK\5\6") :])
    data[-10:-6] = (len(directory) * 300).to_bytes(4, "little")
    tracemalloc.start()
    try:
        assert danger(bytes(data)) is None
        assert tracemalloc.get_traced_memory()[1] < 2 * len(data)
    finally:
        tracemalloc.stop()


def test_an_error_of_the_reader_passes_through() -> None:
    def read(offset: int, length: int) -> bytes:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        danger_of(100, read)


def test_programs_are_told_by_name() -> None:
    assert is_code("modeling_x.PY")
    assert not is_code("model.safetensors")


@covers("T31")
def test_an_archive_of_headers_that_take_long_to_parse_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    hard = npy_of("'<f4', 'O': [" + "1," * 1_500 + "]")
    members = {f"{number}.npy": hard for number in range(20)}
    assert danger(tarred(members)) is None
    monkeypatch.setattr("p2phub.formats.danger._HEADERS_BYTES_MAX", 10 * len(hard))
    assert "cannot be looked into" in (danger(tarred(members)) or "")
    easy = {f"{number}.npy": numpy_file(np.zeros(5)) for number in range(500)}
    assert danger(tarred(easy)) is None


@covers("T31")
def test_an_archive_of_members_out_of_which_little_comes_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    hard = EMPTY_BLOCK * 3_000 + deflated(random.Random(2).randbytes(5_000))
    archive = bytearray(zipped({f"{number}": hard for number in range(9)}))
    for magic, at in ((b"PK\3\4", 8), (b"PK\1\2", 10)):  # As if they had been deflated by a zip's writer.
        found = archive.find(magic)
        while found >= 0:
            archive[found + at] = 8
            found = archive.find(magic, found + 1)
    assert danger(bytes(archive)) is None
    monkeypatch.setattr("p2phub.formats.danger._PACKED_BYTES_MAX", 5 * len(hard))
    assert "cannot be looked into" in (danger(bytes(archive)) or "")
    easy = {f"{number}": random.Random(number).randbytes(9_000) for number in range(500)}
    assert danger(zipped(easy, method=zipfile.ZIP_DEFLATED)) is None


@covers("T31")
def test_a_deflated_member_that_begins_with_nothing_is_not_looked_into_for_ever() -> None:
    for blocks, why in ((3_000, "a pickle"), (14_000, "cannot be looked into")):
        archive = bytearray(zipped({"weights": EMPTY_BLOCK * blocks + deflated(pickled(2))}))
        archive[8] = archive[archive.rindex(b"PK\1\2") + 10] = 8
        assert why in (danger(bytes(archive)) or "")


@covers("T31")
def test_files_by_chance_are_not_called_dangerous() -> None:
    """One in some ten thousand has a pickle's magic: of these, one in ten goes on like one."""
    chance = random.Random(5)
    found = [danger(b"\x80" + bytes((2 + at % 4,)) + chance.randbytes(300)) for at in range(2_000)]
    assert sum(map(bool, found)) < 300


@pytest.mark.parametrize(
    ("path", "ending"),
    [
        ("a/pytorch_model-00001-of-00002.BIN", ".bin"),
        ("data/x.npz", ".npz"),
        ("model.pt", ".pt"),
        ("model.safetensors", None),
        ("bin", None),
        ("pt/readme.md", None),
    ],
)
def test_names_tell_where_to_look_first(path: str, ending: str | None) -> None:
    assert suspect(path) == ending


@pytest.mark.parametrize("size", [1, 1_000, 100 * limits.KIB, limits.MIB, 10 << 30])
def test_beginning_and_end_lie_within_the_file(size: int) -> None:
    (start, first), (last, stop) = telling_spans(size)
    assert 0 == start < first <= size
    assert 0 <= last < stop == size
    assert first + stop - last < limits.MIB


@covers("T31")
@pytest.mark.parametrize("data", [pickled(4) + bytes(4 << 20), zipped(TORCH | {"archive/data/1": bytes(4 << 20)})])
def test_beginning_and_end_tell_of_a_pickle_and_of_what_torch_writes(data: bytes) -> None:
    spans = telling_spans(len(data))

    def read(offset: int, length: int) -> bytes:
        assert any(start <= offset <= offset + length <= stop for start, stop in spans)
        return data[offset : offset + length]

    assert danger_of(len(data), read) is not None


def test_a_refusal_names_a_few_and_says_what_to_do() -> None:
    found = [(f"{number}.bin", "a pickle") for number in range(5)]
    one, many = refusal(found[:1], 1), refusal(found, 5)
    assert one.message.endswith("0.bin (a pickle)")
    assert many.message.count("pickle") == REFUSED_NAMED_MAX
    assert many.message.endswith("and 2 more")
    for word in ("--allow-unsafe", "--exclude"):
        assert word in (one.hint or "")


def test_a_pickle_begins_with_nothing_but_what_is_looked_at() -> None:
    """What is not among these is never parsed: so each opcode that needs no stack and no memo is."""
    of_the_memo = {"GET", "BINGET", "LONG_BINGET", "PUT", "BINPUT", "LONG_BINPUT"}
    may_begin = {
        ord(each.code) for each in pickletools.opcodes if not each.stack_before and each.name not in of_the_memo
    }
    assert may_begin <= set(BEGINNINGS)
