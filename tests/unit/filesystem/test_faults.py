"""Faults are OSErrors of the kind that tells a program what to do."""

from __future__ import annotations

import errno

import pytest

from p2phub import errors
from p2phub.filesystem import P2phubFileSystem
from p2phub.filesystem.faults import as_os_error


@pytest.mark.parametrize(
    ("error", "kind", "number"),
    [
        (errors.NotFound("gone"), FileNotFoundError, errno.ENOENT),
        (errors.NoProvider("nobody"), ConnectionError, errno.EHOSTUNREACH),
        (errors.PeerGone("went"), ConnectionError, errno.EHOSTUNREACH),
        (errors.Unsafe("a pickle"), PermissionError, errno.EACCES),
        (errors.NotTrusted("forged"), PermissionError, errno.EACCES),
        (errors.DiskFull("full"), OSError, errno.ENOSPC),
        (errors.ChunkMismatch("a lie", file="a", chunk=0), OSError, errno.EIO),
        (errors.Malformed("rule", "broken"), OSError, errno.EIO),
        (errors.HubError("the node went"), OSError, errno.EIO),
    ],
)
def test_each_fault_has_its_kind_number_path_and_words(
    error: errors.HubError, kind: type[OSError], number: int
) -> None:
    with pytest.raises(kind) as raised, as_os_error("a/b"):
        raise error
    assert type(raised.value) is kind
    assert (raised.value.errno, raised.value.filename) == (number, "a/b")
    assert error.message in str(raised.value)


def test_what_to_try_is_said_too() -> None:
    with pytest.raises(FileNotFoundError, match="try this"), as_os_error("a"):
        raise errors.NotFound("gone", hint="try this")


@pytest.mark.parametrize("name", ["boostrap", "provider", "homes", "allow-unsafe"])
def test_an_option_that_is_mistyped_is_refused_with_the_one_that_is_meant(name: str) -> None:
    with pytest.raises(TypeError, match=r"is '.*' meant"):
        P2phubFileSystem(skip_instance_cache=True, **{name: "x"})


def test_options_of_others_are_left_alone_and_one_address_is_one() -> None:
    address = "/ip4/192.0.2.7/tcp/4717/p2p/12D3KooW"
    system = P2phubFileSystem(skip_instance_cache=True, bootstrap=address, token="of another", anon=True)
    assert system._settings.bootstrap == (address,)
