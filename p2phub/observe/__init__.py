"""What happened: events, and how they and foreign text are written down safely. Pure."""

from p2phub.observe.events import (
    Done,
    Event,
    Failed,
    FilesReady,
    Listening,
    PeerDropped,
    Progress,
    Published,
    PublishProgress,
    Ready,
    Source,
    SourceBytes,
    SourceLacks,
    Started,
    Stopped,
    Unmatched,
    Waiting,
    Watch,
)
from p2phub.observe.explanation import Explanation, SourceNow, WaitNow
from p2phub.observe.text import printable

__all__ = [
    "Done",
    "Event",
    "Explanation",
    "Failed",
    "FilesReady",
    "Listening",
    "PeerDropped",
    "Progress",
    "PublishProgress",
    "Published",
    "Ready",
    "Source",
    "SourceBytes",
    "SourceLacks",
    "SourceNow",
    "Started",
    "Stopped",
    "Unmatched",
    "WaitNow",
    "Waiting",
    "Watch",
    "printable",
]
