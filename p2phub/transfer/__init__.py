"""The decisions of a fetch: who is asked for what, when a lease moves, who is banned. Pure."""

from p2phub.transfer.session import Action, Drop, Grant, LinkId, LinkNow, Revoke, Session

__all__ = ["Action", "Drop", "Grant", "LinkId", "LinkNow", "Revoke", "Session"]
