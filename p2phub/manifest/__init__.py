"""Manifests, releases, references and tickets: what is published, by whom, and how a user names it. Pure."""

from p2phub.content import pack, unpack
from p2phub.manifest.model import FileEntry, Manifest

__all__ = ["FileEntry", "Manifest", "pack", "unpack"]
