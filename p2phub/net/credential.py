"""Who is at the other end of a TLS connection: the libp2p certificate extension, made and checked.

Both sides show a self-signed certificate over a leaf key that is fresh per process; an extension in it carries the
identity key and its signature over the leaf key. Ed25519 identities and P-256 leaves only: every peer of this protocol
makes those, and each kind more is more to go wrong. Source: proto/transfer.md §1; libp2p/specs tls.
"""

from __future__ import annotations

import datetime
from functools import lru_cache

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from p2phub.errors import WrongPeer
from p2phub.identity import PeerId, SecretKey, verify_raw

EXTENSION = x509.ObjectIdentifier("1.3.6.1.4.1.53594.1.1")
SIGNED_PREFIX = b"libp2p-tls-handshake:"
_SIGNED_KEY_HEAD = bytes.fromhex("3068042408011220")  # SEQUENCE, OCTET STRING of 36: Ed25519 protobuf.
_SIGNATURE_HEAD = b"\x04\x40"  # OCTET STRING of 64.
_BACKDATE = datetime.timedelta(hours=1)  # Clocks differ.
_LIFETIME = datetime.timedelta(days=365)  # The key dies with the process long before.
_CERTIFICATE_BYTES_MAX = 4096
_PARSER_ERRORS = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""What the parser raises for bytes that are no certificate, or one of kinds that it does not know."""


class Credential(msgspec.Struct, frozen=True):
    """What a process shows in a handshake. `leaf_key` is PKCS #8 DER and lives in memory only; `certificate` is DER.

    It proves `peer` without the identity key, so a child process gets this and never the key.
    """

    peer: PeerId
    certificate: bytes
    leaf_key: bytes


def make_credential(key: SecretKey) -> Credential:
    """Make a fresh leaf key and a certificate in which `key` vouches for it. About 1 ms."""
    leaf = ec.generate_private_key(ec.SECP256R1())
    signature = key.sign_raw(SIGNED_PREFIX + _spki(leaf.public_key()))
    extension = _SIGNED_KEY_HEAD + key.peer_id.public_key + _SIGNATURE_HEAD + signature
    now = datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "p2phub")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATE)
        .not_valid_after(now + _LIFETIME)
        .public_key(leaf.public_key())
        # Not critical, as the specification asks: a verifier that does not know the extension must not fail on it.
        .add_extension(x509.UnrecognizedExtension(EXTENSION, extension), critical=False)
        .sign(leaf, hashes.SHA256())
    )
    return Credential(
        key.peer_id,
        certificate.public_bytes(serialization.Encoding.DER),
        leaf.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )


def peer_of(certificate: bytes) -> PeerId:
    """Return who the DER `certificate` of a finished handshake belongs to.

    The handshake has proved that the other end holds the leaf key. Raises WrongPeer for anything but a valid,
    self-signed P-256 certificate with a true extension and no unknown critical one.
    """
    if len(certificate) > _CERTIFICATE_BYTES_MAX:
        raise WrongPeer(f"a certificate of {len(certificate)} bytes")
    try:
        return _peer_of(certificate, datetime.datetime.now(datetime.UTC))
    except InvalidSignature as exc:
        raise WrongPeer("a certificate with a signature that does not hold") from exc
    except _PARSER_ERRORS as exc:
        raise WrongPeer(f"not a certificate of this protocol: {str(exc)[:200]}") from exc


def _peer_of(der: bytes, now: datetime.datetime) -> PeerId:
    certificate = x509.load_der_x509_certificate(der)
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise WrongPeer("a certificate that is not valid now", hint="check the clocks of both machines")
    leaf = certificate.public_key()
    if not isinstance(leaf, ec.EllipticCurvePublicKey) or not isinstance(leaf.curve, ec.SECP256R1):
        raise WrongPeer("a certificate whose key is not on P-256")
    if not isinstance(certificate.signature_hash_algorithm, hashes.SHA256):
        raise WrongPeer("a certificate not signed over SHA-256")
    leaf.verify(certificate.signature, certificate.tbs_certificate_bytes, ec.ECDSA(hashes.SHA256()))
    value: bytes | None = None
    for extension in certificate.extensions:
        if extension.oid == EXTENSION and isinstance(extension.value, x509.UnrecognizedExtension):
            value = extension.value.value
        elif extension.critical and isinstance(extension.value, x509.UnrecognizedExtension):
            raise WrongPeer("a certificate with an unknown critical extension")
    head, tail = len(_SIGNED_KEY_HEAD), len(_SIGNED_KEY_HEAD) + 32
    if value is None:
        raise WrongPeer("a certificate without a libp2p identity")
    if (
        len(value) != tail + len(_SIGNATURE_HEAD) + 64
        or value[:head] != _SIGNED_KEY_HEAD
        or value[tail : tail + len(_SIGNATURE_HEAD)] != _SIGNATURE_HEAD
    ):
        raise WrongPeer("a certificate whose identity is not an Ed25519 key")
    peer = PeerId(value[head:tail])
    if not _vouches(peer, SIGNED_PREFIX + _spki(leaf), value[-64:]):
        raise WrongPeer("a certificate that its identity did not sign")
    return peer


@lru_cache(maxsize=256)
def _vouches(peer: PeerId, message: bytes, signature: bytes) -> bool:
    """Remembered: a peer opens several connections with one certificate. The cache holds proofs, not secrets."""
    return verify_raw(peer, message, signature)


def _spki(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
