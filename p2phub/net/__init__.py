"""The network behind ports. Adapters are named by `node.compose` alone."""

from p2phub.net.finder import Finder, Finders
from p2phub.net.interface import (
    AnswerControl,
    Blobs,
    Closed,
    Control,
    Dialler,
    Link,
    Mirrors,
    Offer,
    Opened,
    Refused,
    Report,
    Returned,
    Shelf,
    Verified,
)

__all__ = [
    "AnswerControl",
    "Blobs",
    "Closed",
    "Control",
    "Dialler",
    "Finder",
    "Finders",
    "Link",
    "Mirrors",
    "Offer",
    "Opened",
    "Refused",
    "Report",
    "Returned",
    "Shelf",
    "Verified",
]
