"""Certificates: ours are understood by libp2p and the other way round; anything else is refused."""

from __future__ import annotations

import datetime
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from p2phub.errors import WrongPeer
from p2phub.identity import SecretKey
from p2phub.net.credential import EXTENSION, SIGNED_PREFIX, make_credential, peer_of
from tests.support.covers import covers

ANN, EVE = SecretKey(b"a" * 32), SecretKey(b"e" * 32)
NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)
Leaf = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def extension(key: SecretKey, leaf: Leaf) -> x509.UnrecognizedExtension:
    spki = leaf.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    signed = key.sign_raw(SIGNED_PREFIX + spki)
    head = bytes.fromhex("3068042408011220")
    return x509.UnrecognizedExtension(EXTENSION, head + key.peer_id.public_key + b"\x04\x40" + signed)


def certificate(
    leaf: Leaf,
    *extensions: tuple[x509.ExtensionType, bool],
    signer: Leaf | None = None,
    begins: datetime.datetime = NOW - DAY,
    ends: datetime.datetime = NOW + DAY,
    digest: hashes.SHA256 | hashes.SHA384 | None = None,
) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    builder = x509.CertificateBuilder(name, name, leaf.public_key(), 1, begins, ends)
    for value, critical in extensions:
        builder = builder.add_extension(value, critical)
    return builder.sign(signer or leaf, digest or hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def p256() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


LEAF, OTHER = p256(), p256()
FOREIGN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")


def test_a_credential_proves_its_peer() -> None:
    assert peer_of(make_credential(ANN).certificate) == ANN.peer_id


def test_each_credential_has_a_key_of_its_own() -> None:
    assert make_credential(ANN).leaf_key != make_credential(ANN).leaf_key


def test_an_unknown_extension_that_is_not_critical_is_ignored() -> None:
    assert peer_of(certificate(LEAF, (extension(ANN, LEAF), False), (FOREIGN, False))) == ANN.peer_id


BAD: dict[str, Callable[[], bytes]] = {
    "no extension": lambda: certificate(LEAF),
    "an extension copied from another certificate": lambda: certificate(LEAF, (extension(ANN, OTHER), False)),
    "a leaf key that did not sign": lambda: certificate(LEAF, (extension(ANN, LEAF), False), signer=OTHER),
    "an unknown critical extension": lambda: certificate(LEAF, (extension(ANN, LEAF), False), (FOREIGN, True)),
    "not valid any more": lambda: certificate(LEAF, (extension(ANN, LEAF), False), ends=NOW - DAY / 2),
    "not valid yet": lambda: certificate(LEAF, (extension(ANN, LEAF), False), begins=NOW + DAY / 2),
    "signed over another digest": lambda: certificate(LEAF, (extension(ANN, LEAF), False), digest=hashes.SHA384()),
    "a leaf on another curve": lambda: _with(ec.generate_private_key(ec.SECP384R1())),
    "an RSA leaf": lambda: _with(rsa.generate_private_key(65537, 2048)),
    "an extension of another kind of key": lambda: _raw(extension(ANN, LEAF).value.replace(b"\x08\x01", b"\x08\x00")),
    "an extension that goes on": lambda: _raw(extension(ANN, LEAF).value + b"\0"),
    "empty": lambda: b"",
    "too long": lambda: bytes(100_000),
}


def _raw(value: bytes) -> bytes:
    return certificate(LEAF, (x509.UnrecognizedExtension(EXTENSION, value), False))


def _with(leaf: Leaf) -> bytes:
    return certificate(leaf, (extension(ANN, leaf), False))


@covers("T19")
@pytest.mark.parametrize("says", BAD)
def test_a_certificate_that_proves_nothing_is_refused(says: str) -> None:
    with pytest.raises(WrongPeer):
        peer_of(BAD[says]())


@covers("T19")
def test_a_certificate_with_any_byte_changed_is_refused() -> None:
    good = make_credential(ANN).certificate
    for at in range(len(good)):
        changed = bytearray(good)
        changed[at] ^= 0x55
        with pytest.raises(WrongPeer):
            peer_of(bytes(changed))


def test_libp2p_understands_ours_and_we_understand_libp2ps() -> None:
    from libp2p.crypto.ed25519 import create_new_key_pair
    from libp2p.peer.id import ID
    from libp2p.security.tls.certificate import create_cert_template, generate_certificate, verify_certificate_chain

    ours = x509.load_der_x509_certificate(make_credential(ANN).certificate)
    assert str(ID.from_pubkey(verify_certificate_chain([ours]))) == str(ANN.peer_id)
    pair = create_new_key_pair(b"e" * 32)
    theirs, _ = generate_certificate(pair.private_key, create_cert_template())
    der = x509.load_pem_x509_certificate(theirs.encode()).public_bytes(serialization.Encoding.DER)
    assert peer_of(der) == EVE.peer_id
