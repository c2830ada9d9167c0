"""The network behind ports. Adapters are named by `node.compose` alone."""

from p2phub.net.finder import Finder, Finders
from p2phub.net.interface import (
    AnswerControl,
    Blobs,
    Cap,
    Closed,
    Control,
    Dialler,
    Link,
    Mirrors,
    NoCap,
    Offer,
    Opened,
    Refused,
    Report,
    Returned,
    Shelf,
    Spent,
    Verified,
)

__all__ = [
    "AnswerControl",
    "Blobs",
    "Cap",
    "Closed",
    "Control",
    "Dialler",
    "Finder",
    "Finders",
    "Link",
    "Mirrors",
    "NoCap",
    "Offer",
    "Opened",
    "Refused",
    "Report",
    "Returned",
    "Shelf",
    "Spent",
    "Verified",
]
