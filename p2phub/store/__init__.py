"""The disk behind ports: files are the store. Adapters are named by `node.compose` alone."""

from p2phub.store.interface import (
    Accepted,
    Arrival,
    Fingerprint,
    FoundFile,
    HashedFile,
    Holding,
    Judge,
    Ledger,
    Publication,
    Scan,
    Store,
)

__all__ = [
    "Accepted",
    "Arrival",
    "Fingerprint",
    "FoundFile",
    "HashedFile",
    "Holding",
    "Judge",
    "Ledger",
    "Publication",
    "Scan",
    "Store",
]
