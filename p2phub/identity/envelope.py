"""A signed envelope: opaque bytes, who signed them, and for which use.

    envelope = record "p2phub signed" 1 {payload: bytes, signature: 64 bytes, signer: 32 bytes (Ed25519 public key)}
    signed   = u32 length | label | u32 length | domain | u32 length | payload        lengths big-endian

The signature is over the payload as received, never over an encoding of what was read from it. `domain` says what the
signature is for, so that one made for one use is worth nothing in another; the first byte is zero, which no message of
libp2p's (handshakes, certificates, its own envelopes, pubsub, IPNS) begins with.

The envelope names the key that signed. By whose authority it speaks is in the payload (a release's `publisher`): today
both must be the same key, and its reader checks that. Source: proto/identifiers.md §5.
"""

from __future__ import annotations

from p2phub.content import pack_record, unpack_record
from p2phub.errors import Malformed, NotTrusted
from p2phub.identity.keys import SIGNATURE_BYTES, SecretKey, verify_raw
from p2phub.identity.peer_id import PeerId

KIND = "p2phub signed"
VERSION = 1
ENVELOPE_EXTRA_BYTES = 160  # At most this much longer than its payload: 32 + 64 bytes, names and lengths.
_LABEL = b"p2phub signed message 1"


def seal(key: SecretKey, domain: str, payload: bytes) -> bytes:
    """Return `payload` signed by `key` for use in `domain`: the bytes of an envelope."""
    signature = key.sign_raw(_message(domain, payload))
    fields = {"payload": payload, "signature": signature, "signer": key.peer_id.public_key}
    return pack_record(KIND, VERSION, fields)


def open_envelope(data: bytes, domain: str, *, payload_bytes_max: int) -> tuple[PeerId, bytes]:
    """Return who signed and what, if the signature holds for `domain`.

    Raises Malformed (envelope-long, and what a record raises) for the shape, NotTrusted("signature") for the signature.
    """
    if len(data) > payload_bytes_max + ENVELOPE_EXTRA_BYTES:
        raise Malformed("envelope-long", f"an envelope of {len(data)} bytes")
    fields = unpack_record(data, KIND, VERSION)
    payload = fields.binary("payload", least=1, most=payload_bytes_max)
    signature = fields.binary("signature", least=SIGNATURE_BYTES, most=SIGNATURE_BYTES)
    signer = PeerId(fields.binary("signer", least=32, most=32))
    if not verify_raw(signer, _message(domain, payload), signature):
        raise NotTrusted(f"the signature of {signer} does not hold: forged or damaged", rule="signature")
    return signer, payload


def payload_of(data: bytes, *, payload_bytes_max: int) -> bytes:
    """Return what an envelope says, its signature not looked at: for one that held when it was taken in, and was kept
    by us since. Raises Malformed."""
    return unpack_record(data, KIND, VERSION).binary("payload", least=1, most=payload_bytes_max)


def _message(domain: str, payload: bytes) -> bytes:
    parts = (_LABEL, domain.encode("ascii"), payload)
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)
