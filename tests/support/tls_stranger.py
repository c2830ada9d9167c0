"""A stranger who proves a key over TLS and then says what no TLS library would: each record is made by hand."""

from __future__ import annotations

import hashlib
import hmac
import socket
from contextlib import suppress

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from OpenSSL import SSL

from p2phub.identity import SecretKey
from p2phub.net import tls
from p2phub.net.credential import make_credential

HANDSHAKE, DATA = 22, 23
_KEY_UPDATE = b"\x18\x00\x00\x01"


class TlsStranger:
    """`sock` is connected and blocking, and gets what is said. `shake` first; the other end is at work meanwhile."""

    def __init__(self, sock: socket.socket, key: SecretKey, *, dials: bool) -> None:
        self._sock, self._dials = sock, dials
        self._lines: list[bytes] = []
        context = tls.make_context(make_credential(key))
        context.set_tls13_ciphersuites(b"TLS_AES_128_GCM_SHA256")
        context.set_keylog_callback(lambda _, line: self._lines.append(line))
        self._ssl = SSL.Connection(context)
        self._ssl.set_connect_state() if dials else self._ssl.set_accept_state()
        self._secret, self._number = b"", 0

    def shake(self) -> None:
        while True:
            try:
                self._ssl.do_handshake()
                break
            except SSL.WantReadError:
                self._push()
                self._ssl.bio_write(self._sock.recv(65536))
        self._push()
        label = b"CLIENT_TRAFFIC_SECRET_0" if self._dials else b"SERVER_TRAFFIC_SECRET_0"
        self._secret = next(bytes.fromhex(line.split()[2].decode()) for line in self._lines if line.startswith(label))
        self._number = 0 if self._dials else 2  # Two tickets.

    def _push(self) -> None:
        with suppress(SSL.WantReadError):
            self._sock.sendall(self._ssl.bio_read(1 << 20))

    def record(self, body: bytes, kind: int = DATA) -> bytes:
        """Return the next record."""
        key, iv = _expand(self._secret, b"key", 16), _expand(self._secret, b"iv", 12)
        nonce = (int.from_bytes(iv, "big") ^ self._number).to_bytes(12, "big")
        inner = body + bytes([kind])
        head = b"\x17\x03\x03" + (len(inner) + 16).to_bytes(2, "big")
        self._number += 1
        return head + AESGCM(key).encrypt(nonce, inner, head)

    def key_updates(self, count: int, *, asks: bool = False) -> bytes:
        """Return so many records that only renew our keys, and if it `asks` want the other's renewed."""
        made = []
        for _ in range(count):
            made.append(self.record(_KEY_UPDATE + bytes([asks]), HANDSHAKE))
            self._secret, self._number = _expand(self._secret, b"traffic upd", 32), 0
        return b"".join(made)

    def crumbs(self, data: bytes) -> bytes:
        """Return `data` in records of one byte."""
        return b"".join(self.record(bytes([byte])) for byte in data)


def _expand(secret: bytes, label: bytes, length: int) -> bytes:
    full = b"tls13 " + label
    info = length.to_bytes(2, "big") + bytes([len(full)]) + full + b"\0"
    return hmac.new(secret, info + b"\x01", hashlib.sha256).digest()[:length]
