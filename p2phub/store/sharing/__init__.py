"""Shared places: a folder, often another machine's, in which one home lists what it holds there for everybody, and from
which any number of others take it.

    PLACE/.p2phub-shared/catalogue     what stands where, and under which names        (catalogue)
    PLACE/.p2phub-shared/blobs/<hex>   what describes it: manifest pages, chunk lists, layouts
    PLACE/.p2phub-shared/lock          one writer at a time (flock)                    (writing)
Who reads believes nothing of it and writes nothing there (reading, attached). Source: docs/decisions/0095.
"""

from p2phub.store.sharing.catalogue import Catalogue, Listed, Named
from p2phub.store.sharing.places import AttachedPlace, Places, Public, SharedPlace

__all__ = ["AttachedPlace", "Catalogue", "Listed", "Named", "Places", "Public", "SharedPlace"]
