"""What this home may tell everybody of: by what it published, and what it withholds. Blocks: the ledger is a file.

A manifest that is published publicly is for everybody, whatever else is said of it; one that is published only
privately, or withheld, is for nobody but whom its publication names.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Set

from p2phub.content import Digest
from p2phub.manifest import Name, named_manifest, read_release
from p2phub.store import Ledger


def for_everybody(ledger: Ledger, withheld: Set[Digest] | None = None) -> Callable[[Digest], bool]:
    """Return what says, of publications as they are now, whether a manifest that is held is for everybody. `withheld`:
    looked at each time, for who changes it meanwhile; None: as the ledger has it now."""
    publications = ledger.publications()
    public = {item.manifest for item in publications if not item.private}
    private = {item.manifest for item in publications if item.private}
    kept = ledger.withheld() if withheld is None else withheld
    return lambda manifest: manifest in public or (manifest not in private and manifest not in kept)


def public_releases(ledger: Ledger, manifest: Digest | None = None) -> Iterator[tuple[Digest, Name, bytes]]:
    """Yield (manifest, name, signed) of the releases known here that everybody may have and that hold still: those by
    which something was fetched, then our own. `manifest`: only of those that lead to it."""
    for publisher, name, tag, accepted in ledger.all_accepted():
        led_to = named_manifest(accepted.signed)
        if manifest in (None, led_to):
            release = read_release(accepted.signed)
            if not release.private and release.expires > time.time():
                yield led_to, (publisher, name, tag), accepted.signed
    for item in ledger.publications():
        if not item.private and manifest in (None, item.manifest):
            yield item.manifest, (item.publisher, item.name, item.tag), item.signed
