"""What a user's own names stand for: petnames, repositories that were mapped, what is published here.

Nobody else answers to a name without a publisher's key in it: a stranger must not become `org/name` by announcing it
(threat T20). Names of names are not followed. The ledger is a file, so all of this blocks.
"""

from __future__ import annotations

import re

from msgspec.structs import replace

from p2phub.errors import HubError, Malformed, NotFound, UsageError
from p2phub.identity import PeerId, parse_peer_id
from p2phub.manifest import DEFAULT_TAG, Name, Reference, check_name, parse_reference
from p2phub.store import Ledger

_LIKE_A_DIGEST = re.compile(r"bag[a-z2-7]{20,}")


class OwnNames:
    """Of one home."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def spell(self, publisher: PeerId, name: str, tag: str) -> str:
        """Return the reference that means this name."""
        return f"{publisher}/{name}" + (f"@{tag}" if tag != DEFAULT_TAG else "")

    def name_of(self, text: str) -> Name:
        """Return the publisher, name and tag `text` means by the user's own mapping. Raises NotFound, UsageError."""
        reference = self.mapped(parse_reference(text))
        if reference.publisher is None or reference.name is None:
            raise UsageError(f"{text} names bytes, not a publisher's name", hint="give PUBLISHER/name")
        return reference.publisher, reference.name, reference.tag

    def mapped(self, reference: Reference) -> Reference:
        """Replace the user's own names by what they stand for. Raises NotFound, UsageError, Malformed."""
        if reference.publisher is not None or reference.name is None:
            return reference
        names = self._ledger.names()
        full = reference.name if reference.petname is None else f"{reference.petname}/{reference.name}"
        tag, digest = reference.tag, reference.digest
        if (target := names.get(full)) is not None and _peer_or_none(target) is None:
            mapped = parse_reference(target)
            return mapped if tag == DEFAULT_TAG and digest is None else replace(mapped, tag=tag, digest=digest)
        if reference.petname is not None and (target := names.get(reference.petname)) is not None:
            publisher = _peer_or_none(target)
            if publisher is not None:
                check_name(reference.name)
                return Reference(publisher=publisher, name=reference.name, tag=tag, digest=digest)
        if reference.petname is None:
            owners = {item.publisher for item in self._ledger.publications() if item.name == reference.name}
            if len(owners) == 1:
                return Reference(publisher=owners.pop(), name=reference.name, tag=tag, digest=digest)
        if digest is not None:
            return reference
        if _LIKE_A_DIGEST.fullmatch(full):
            raise NotFound(
                f"nothing here is called {full!r}, and it is no whole manifest digest", hint="copy it again, to its end"
            )
        if _peer_or_none(full) is not None:
            raise UsageError(
                f"{full} is a publisher, not a thing that it published", hint="add its name: 12D3Koo…/NAME"
            )
        raise NotFound(
            f"nothing here is called {full!r}",
            hint="`p2phub ls` shows what is here, `p2phub name list` the names that you gave; anything else needs its "
            "publisher's key before it (12D3Koo…/NAME), or a ticket, as `p2phub publish` printed them",
        )

    def check_name(self, alias: str, target: str) -> None:
        """Raise UsageError unless `alias` (a petname, or `org/name`) may stand for `target`."""
        mine = parse_reference(alias)
        if mine.publisher is not None or mine.digest is not None or str(mine) != alias or "@" in alias:
            raise UsageError(f"{alias!r} cannot be a name of yours", hint="a name is a word, or org/name")
        if _peer_or_none(target) is None:
            if mine.petname is None and "/" not in target:
                raise UsageError(
                    f"{target!r} is neither a publisher nor a reference", hint="give 12D3Koo… or 12D3Koo…/name"
                )
            theirs = parse_reference(target)
            if theirs.publisher is None and theirs.digest is None:
                meant = self._spelt_out(theirs)
                instead = f"; add what it stands for: p2phub name add {alias} {meant}" if meant is not None else ""
                hint = f"names of names are not followed{instead}"
                raise UsageError(f"{target!r} has no publisher key in it", hint=hint)
        elif mine.petname is not None:
            raise UsageError(f"{alias!r} stands for a repository, not for a publisher", hint="give 12D3Koo…/name")

    def _spelt_out(self, reference: Reference) -> Reference | None:
        """Return what a name of the user's own stands for, None if it is none."""
        try:
            mapped = self.mapped(reference)
        except HubError:
            return None
        return mapped if mapped.publisher is not None or mapped.digest is not None else None


def _peer_or_none(text: str) -> PeerId | None:
    try:
        return parse_peer_id(text)
    except Malformed:
        return None
