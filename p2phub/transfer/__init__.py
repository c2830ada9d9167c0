"""The decisions of a fetch: who is asked for what, when a lease moves, who is banned. Pure."""

from p2phub.transfer.actions import Action, Cancel, Drop, Grant, LinkId, Revoke
from p2phub.transfer.link import LinkNow
from p2phub.transfer.pacing import Ask, Flow, Pacer, left_for_background
from p2phub.transfer.session import Session

__all__ = [
    "Action",
    "Ask",
    "Cancel",
    "Drop",
    "Flow",
    "Grant",
    "LinkId",
    "LinkNow",
    "Pacer",
    "Revoke",
    "Session",
    "left_for_background",
]
