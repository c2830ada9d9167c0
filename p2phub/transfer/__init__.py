"""The decisions of a fetch: who is asked for what, when a lease moves, who is banned. Pure."""

from p2phub.transfer.actions import Action, Cancel, Drop, Grant, LinkId, Revoke
from p2phub.transfer.backlog import Backlog
from p2phub.transfer.credit import Credit
from p2phub.transfer.link import LinkNow
from p2phub.transfer.pacing import Ask, Flow, Pacer, Share, left_for_background
from p2phub.transfer.party import Party, party_of
from p2phub.transfer.session import Session
from p2phub.transfer.slots import Place, Slots
from p2phub.transfer.standing import Standings

__all__ = [
    "Action",
    "Ask",
    "Backlog",
    "Cancel",
    "Credit",
    "Drop",
    "Flow",
    "Grant",
    "LinkId",
    "LinkNow",
    "Pacer",
    "Party",
    "Place",
    "Revoke",
    "Session",
    "Share",
    "Slots",
    "Standings",
    "left_for_background",
    "party_of",
]
