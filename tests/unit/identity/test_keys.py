"""Keys and signatures. Strict verification rule by rule stands in the vectors."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from p2phub.errors import Malformed
from p2phub.identity import SecretKey, decode_secret_key, encode_secret_key, parse_peer_id, verify_raw
from p2phub.identity.keys import is_strict
from tests.support.covers import covers

seeds = st.binary(min_size=32, max_size=32)


@settings(max_examples=30)
@given(seeds, st.binary(max_size=99))
def test_what_a_key_signs_its_peer_id_verifies(seed: bytes, message: bytes) -> None:
    key = SecretKey(seed)
    signature = key.sign_raw(message)
    assert verify_raw(key.peer_id, message, signature)
    assert not verify_raw(key.peer_id, message + b"\0", signature)
    assert parse_peer_id(str(key.peer_id)) == key.peer_id


@settings(max_examples=30)
@given(seeds, st.integers(0, 63), st.integers(1, 255))
@covers("T19")
def test_no_changed_signature_holds(seed: bytes, at: int, flip: int) -> None:
    key = SecretKey(seed)
    signature = bytearray(key.sign_raw(b"message"))
    signature[at] ^= flip
    assert not verify_raw(key.peer_id, b"message", bytes(signature))


@settings(max_examples=30)
@given(seeds)
def test_key_files_are_those_of_other_tools(seed: bytes) -> None:
    theirs = Ed25519PrivateKey.from_private_bytes(seed)
    pem = theirs.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    assert encode_secret_key(SecretKey(seed)) == pem
    assert decode_secret_key(pem).peer_id == SecretKey(seed).peer_id
    assert load_pem_private_key(pem, password=None) is not None


@given(st.binary(max_size=200))
def test_any_bytes_are_a_key_file_or_malformed(data: bytes) -> None:
    with pytest.raises(Malformed, match="key-file"):
        decode_secret_key(data)


@settings(max_examples=50)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=9), st.binary(max_size=70))
def test_any_bytes_are_no_signature(key: bytes, message: bytes, signature: bytes) -> None:
    peer = SecretKey(key).peer_id
    assert not verify_raw(peer, message, signature)


FIELD, ORDER = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
ORDER_EIGHT = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"
UNSOUND = [
    *(y.to_bytes(32, "little") for y in (0, 1, FIELD - 1, FIELD, FIELD + 1, FIELD + 18, (1 << 255) - 1)),
    bytes.fromhex(ORDER_EIGHT),
    (FIELD - int.from_bytes(bytes.fromhex(ORDER_EIGHT), "little")).to_bytes(32, "little"),
]


@covers("T19")
@pytest.mark.parametrize("point", UNSOUND)
@pytest.mark.parametrize("sign", [0, 0x80])
def test_points_of_small_order_or_spelt_otherwise_are_refused_whatever_the_library_does(
    point: bytes, sign: int
) -> None:
    point = point[:31] + bytes([point[31] | sign])
    key = SecretKey(bytes(32))
    signature = key.sign_raw(b"message")
    assert is_strict(key.peer_id.public_key, signature)
    assert not is_strict(point, signature)
    assert not is_strict(key.peer_id.public_key, point + signature[32:])


@covers("T19")
@pytest.mark.parametrize("s", [ORDER, ORDER + 1, (1 << 256) - 1])
def test_a_second_spelling_of_s_is_refused_whatever_the_library_does(s: int) -> None:
    key = SecretKey(bytes(32))
    signature = key.sign_raw(b"message")
    assert not is_strict(key.peer_id.public_key, signature[:32] + s.to_bytes(32, "little"))
    assert is_strict(key.peer_id.public_key, signature[:32] + (ORDER - 1).to_bytes(32, "little"))


@covers("T48")
def test_a_key_shows_its_secret_nowhere() -> None:
    seed = bytes(range(100, 132))
    key = SecretKey(seed)
    pem = encode_secret_key(key)
    for shown in (repr(key), str(key), f"{key}"):
        assert str(key.peer_id) in shown
        assert seed.hex() not in shown
        assert pem.split(b"\n")[1].decode()[20:] not in shown
    with pytest.raises(TypeError, match="does not leave"):
        pickle.dumps(key)
    with pytest.raises(Malformed) as caught:
        decode_secret_key(pem.replace(b"MC4CAQAw", b"MC4CAQEw"))
    assert pem.split(b"\n")[1].decode()[20:] not in str(caught.value)


def test_a_key_has_32_bytes() -> None:
    with pytest.raises(Malformed, match="key-file"):
        SecretKey(bytes(31))


def test_reading_manifests_loads_no_cryptography() -> None:
    code = (
        "import sys, p2phub.manifest, p2phub.formats; sys.exit('cryptography' in sys.modules or 'trio' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
