"""What is known of one name, as it is searched for: an entry, who it is, where it stands before any question, and the
words that it is found by.

An entry tells of the newest release of a publisher's name and tag; of what was adopted under a hub's name; or of bytes
that are held and that nobody gave a name. Its position says which comes first where nothing else decides: what is held
here, then what the user gave a name to, then all else, in each the newest first, to the hour. An index that keeps
entries in this order has the first of a million for nothing (docs/decisions/0110).
"""

from __future__ import annotations

import msgspec
from blake3 import blake3

from p2phub import limits
from p2phub.catalog.words import spaced, stems_of, words_of
from p2phub.content import Codec, Digest
from p2phub.identity import PeerId
from p2phub.manifest import DEFAULT_TAG, commit_of

KEY_BYTES = 16
HELD, NAMED, SEEN = range(3)
"""The classes of positions, in order."""
_CLASS_BITS = 33  # Below a class: an hour, and the slots of entries of one hour.
SLOT_BITS = 12
HOURS = 1 << 20
"""Hours since 1970 that are told apart: until 2089."""


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """What is known of one name. `size` in bytes; times in Unix seconds, 0 where nobody says it.

    `publisher`: the raw key, empty where no publisher says anything; `name` without it; `names`: what the user calls it
    instead, the shortest way first. `labels`: other words that it carries; `formats`: of its files, as far as its
    manifest is known here, and `files`: how many there are, -1 if not. `origin`: how it is held ("published",
    "fetched", …), empty where it is not. `seen`: when it was last told of, to the day.
    """

    publisher: bytes
    name: str
    tag: str
    manifest: bytes
    names: tuple[str, ...] = ()
    kind: str = ""
    title: str = ""
    licence: str = ""
    labels: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    size: int = 0
    files: int = -1
    created: int = 0
    sequence: int = 0
    origin: str = ""
    private: bool = False
    revision: str = ""
    seen: int = 0

    @property
    def key(self) -> bytes:
        """Who it is: the same for all releases of a name and tag."""
        return entry_key(self.publisher, self.name, self.tag, b"" if self.name else self.manifest)

    @property
    def is_held(self) -> bool:
        return bool(self.origin)

    @property
    def reference(self) -> str:
        """What leads to it, whoever is asked: by its publisher's key; of what nobody signed its digest."""
        if not self.publisher:
            return Digest(self.manifest).text(Codec.MSGPACK)
        return f"{PeerId(self.publisher)}/{self.name}" + (f"@{self.tag}" if self.tag != DEFAULT_TAG else "")

    @property
    def called(self) -> str:
        """What to call it: as the user does; else, if somebody published it, with who that is, since anybody may call
        theirs anything."""
        if self.names:
            return self.names[0]
        return f"{PeerId(self.publisher)}/{self.name}" if self.publisher else self.name or self.reference

    @property
    def commit(self) -> str:
        """The commit of a hub's repository that it is: the hub's own, where it came from one."""
        return self.revision or commit_of(self.called, Digest(self.manifest))


def entry_key(publisher: bytes, name: str, tag: str, manifest: bytes) -> bytes:
    """Return who an entry is, in KEY_BYTES."""
    # No name has a NUL in it, and what follows the names is of a fixed length, or nothing.
    return blake3(b"%b\0%b\0%b%b" % (name.encode(), tag.encode(), publisher, manifest)).digest(KEY_BYTES)


def position_of(entry: Entry) -> int:
    """Return the first of the positions that an entry may take, ascending from what comes first.

    It may take any of the 2^SLOT_BITS from there on, and where those are taken those of later hours: the positions of
    its class go on for as many hours again.
    """
    hour = min(max(entry.created, 0) // 3600, HOURS - 1)
    return (class_of(entry) << _CLASS_BITS) + ((HOURS - 1 - hour) << SLOT_BITS)


def class_of(entry: Entry) -> int:
    if entry.is_held:
        return HELD
    return NAMED if entry.names else SEEN


def first_position(which: int) -> int:
    """Return where the positions of a class begin."""
    return which << _CLASS_BITS


def last_resort(position: int) -> tuple[int, int]:
    """Return positions `start` ..< `stop` at the end of a position's class, which no hour leads to."""
    stop = first_position((position >> _CLASS_BITS) + 1)
    return stop - (HOURS // 4 << SLOT_BITS), stop


# --- by which words it is found ------------------------------------------------------------------------------------


def name_text(entry: Entry) -> str:
    """Return the words of its names, with spaces around each."""
    return spaced(" ".join((entry.name, *entry.names)))


def label_text(entry: Entry) -> str:
    """Return those of what it carries beside its names: tag, kind, licence, labels, formats of files."""
    tag = entry.tag if entry.tag != DEFAULT_TAG else ""
    return spaced(" ".join((tag, entry.kind, entry.licence, *entry.labels, *entry.formats)))


def title_text(entry: Entry) -> str:
    return spaced(entry.title)


def index_words(entry: Entry) -> list[str]:
    """Return the words by which an index finds it, each once: plain ones, its whole names, its kind."""
    text = name_text(entry) + label_text(entry) + title_text(entry)
    found = dict.fromkeys(word[: limits.SEARCH_WORD_CHARS_MAX] for word in text.split())
    found.update(dict.fromkeys(stems_of(text)))
    if entry.publisher:
        found[str(PeerId(entry.publisher)).lower()] = None
    for name in dict.fromkeys((entry.name, *entry.names)):
        found[whole_word(words_of(name))] = None
        if "/" in name:  # Its last part is what people remember.
            found[whole_word(words_of(name.rpartition("/")[2]))] = None
    if entry.kind:
        found[kind_word(entry.kind)] = None
    return list(found)


def whole_word(words: list[str]) -> str:
    """Return the word for what is called just so."""
    return "=" + "=".join(words)


def kind_word(kind: str) -> str:
    return "#" + "".join(words_of(kind))
