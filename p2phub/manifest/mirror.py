"""Where a mirror keeps what describes its files: below `.p2phub/mirror/`, a folder that no manifest can name.

And which mirror a template means: the URL of a mirror may have {publisher}, {name}, {tag} and {manifest} in it, so that
one line in the configuration serves for every model. Source: proto/mirror.md §1 and §2.
"""

from __future__ import annotations

import re

from p2phub.content import Codec, Digest
from p2phub.errors import UsageError
from p2phub.identity import MirrorId, PeerId, parse_mirror, without_secrets
from p2phub.manifest.names import Name

MIRROR_FOLDER = ".p2phub/mirror"
_FIELD = re.compile(r"\{([a-z]*)\}")
_FIELDS = ("publisher", "name", "tag", "manifest")


def mirror_blob_path(digest: Digest) -> str:
    """Return where a manifest page or chunk list stands: under its digest, in the text form of raw bytes."""
    return f"{MIRROR_FOLDER}/blobs/{digest.text()}"


def mirror_release_path(publisher: PeerId, name: str, tag: str) -> str:
    """Return where the newest signed release of a name stands."""
    return f"{MIRROR_FOLDER}/releases/{publisher}/{name}/{tag}"


def check_mirror(template: str) -> None:
    """Raise UsageError unless `template` is the URL of a mirror once its fields are filled in."""
    for field in _FIELD.findall(template):
        if field not in _FIELDS:
            known = ", ".join(f"{{{each}}}" for each in _FIELDS)
            raise UsageError(
                f"a mirror has no {{{field[:20]}}}: {without_secrets(template)!r}", hint=f"fields are {known}"
            )
    parse_mirror(_FIELD.sub("x", template))


def mirror_of(template: str, *, name: Name | None, manifest: Digest | None) -> MirrorId | None:
    """Return the mirror that `template` means for a publisher's name and a manifest; None where a field that it has is
    not known. Raises UsageError."""
    check_mirror(template)
    known: dict[str, str] = {}
    if name is not None:
        known = {"publisher": str(name[0]), "name": name[1], "tag": name[2]}
    if manifest is not None:
        known["manifest"] = manifest.text(Codec.MSGPACK)
    if not set(_FIELD.findall(template)) <= set(known):
        return None
    return parse_mirror(_FIELD.sub(lambda field: known[field[1]], template))
