"""AEGIS-128L in plain Python, from draft-irtf-cfrg-aegis-aead: to make vectors without the code under test. Slow."""

from __future__ import annotations

_C0 = bytes.fromhex("000101020305080d1522375990e97962")
_C1 = bytes.fromhex("db3d18556dc22ff12011314273b528dd")


def _make_s_box() -> bytes:
    """AES's: the inverse in GF(2^8), then an affine map."""
    box, p, q = bytearray(256), 1, 1
    box[0] = 0x63
    while True:
        p = p ^ (p << 1 & 0xFF) ^ (0x1B if p & 0x80 else 0)  # Times 3…
        q ^= q << 1
        q ^= q << 2
        q = (q ^ q << 4) & 0xFF
        q ^= 0x09 if q & 0x80 else 0  # …and divided by 3.
        turned = [(q << turn | q >> (8 - turn)) & 0xFF for turn in range(5)]
        box[p] = turned[0] ^ turned[1] ^ turned[2] ^ turned[3] ^ turned[4] ^ 0x63
        if p == 1:
            return bytes(box)


_S_BOX = _make_s_box()


def _xor(*values: bytes) -> bytes:
    total = 0
    for value in values:
        total ^= int.from_bytes(value, "big")
    return total.to_bytes(16, "big")


def _and(one: bytes, other: bytes) -> bytes:
    return bytes(left & right for left, right in zip(one, other, strict=True))


def _double(value: int) -> int:
    return (value << 1 ^ (0x11B if value & 0x80 else 0)) & 0xFF


def _aes_round(state: bytes, key: bytes) -> bytes:
    shifted = [_S_BOX[state[(at + 4 * (at % 4)) % 16]] for at in range(16)]
    mixed = bytearray()
    for column in range(0, 16, 4):
        a = shifted[column : column + 4]
        for row in range(4):
            b, c, d = a[(row + 1) % 4], a[(row + 2) % 4], a[(row + 3) % 4]
            mixed.append(_double(a[row]) ^ _double(b) ^ b ^ c ^ d)
    return _xor(bytes(mixed), key)


class _State:
    def __init__(self, key: bytes, nonce: bytes) -> None:
        both = _xor(key, nonce)
        self.s = [both, _C1, _C0, _C1, both, _xor(key, _C0), _xor(key, _C1), _xor(key, _C0)]
        for _ in range(10):
            self.update(nonce, key)

    def update(self, first: bytes, second: bytes) -> None:
        s = [*self.s]
        s[0], s[4] = _xor(s[0], first), _xor(s[4], second)
        self.s = [_aes_round(self.s[at - 1], s[at]) for at in range(8)]

    def absorb(self, data: bytes) -> None:
        for at in range(0, len(data), 32):
            part = data[at : at + 32].ljust(32, b"\0")
            self.update(part[:16], part[16:])

    def stream(self) -> bytes:
        s = self.s
        return _xor(s[6], s[1], _and(s[2], s[3])) + _xor(s[2], s[5], _and(s[6], s[7]))

    def tag(self, associated_bytes: int, bytes_count: int) -> bytes:
        lengths = (8 * associated_bytes).to_bytes(8, "little") + (8 * bytes_count).to_bytes(8, "little")
        mixed = _xor(self.s[2], lengths)
        for _ in range(7):
            self.update(mixed, mixed)
        return _xor(*self.s[:4]) + _xor(*self.s[4:])


def encrypt(key: bytes, nonce: bytes, data: bytes, associated: bytes = b"") -> bytes:
    """Return `data` encrypted, and its tag of 32 bytes behind it."""
    state, sealed = _State(key, nonce), bytearray()
    state.absorb(associated)
    for at in range(0, len(data), 32):
        part = data[at : at + 32]
        sealed += bytes(left ^ right for left, right in zip(part, state.stream(), strict=False))
        state.absorb(part)
    return bytes(sealed) + state.tag(len(associated), len(data))
