"""Who: peer ids and where peers are, mirrors, keys, signed envelopes. Pure; key files are `node.keystore`'s."""

from p2phub.identity.address import Address, IpNumber, PeerAddress, is_public_ip, parse_address, parse_peer_address
from p2phub.identity.envelope import ENVELOPE_EXTRA_BYTES, open_envelope, payload_of, seal
from p2phub.identity.keys import SecretKey, decode_secret_key, encode_secret_key, verify_raw
from p2phub.identity.mirror import MirrorId, SourceId, WebUrl, parse_mirror, parse_web_url, without_secrets
from p2phub.identity.peer_id import PeerId, parse_peer_id, peer_id_of_bytes

__all__ = [
    "ENVELOPE_EXTRA_BYTES",
    "Address",
    "IpNumber",
    "MirrorId",
    "PeerAddress",
    "PeerId",
    "SecretKey",
    "SourceId",
    "WebUrl",
    "decode_secret_key",
    "encode_secret_key",
    "is_public_ip",
    "open_envelope",
    "parse_address",
    "parse_mirror",
    "parse_peer_address",
    "parse_peer_id",
    "parse_web_url",
    "payload_of",
    "peer_id_of_bytes",
    "seal",
    "verify_raw",
    "without_secrets",
]
