"""The decisions of a fetch: who is asked for what, when a lease moves, who is banned. Pure."""

from p2phub.transfer.pacing import Ask, Flow, Pacer, left_for_background
from p2phub.transfer.session import Action, Drop, Grant, LinkId, LinkNow, Revoke, Session

__all__ = [
    "Action",
    "Ask",
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
