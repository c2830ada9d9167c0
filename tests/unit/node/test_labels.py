"""The `[labels]` of a configuration: what they mean, and how a wrong one is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2phub.discovery import Nearness, Surroundings
from p2phub.errors import UsageError
from p2phub.identity import Address
from p2phub.node.config import load_config
from p2phub.node.labels import LABELS_MAX, parse_labels


def test_networks_addresses_and_hosts_are_labelled(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        '[labels]\n"10.1.7.0/24" = "rack"\n"10.1.0.0/16" = "site"\n"2600::/32" = "metered"\n"10.1.7.8" = "metered"\n'
        '"mirror.example.org" = "metered"\n'
    )
    labels = load_config(home=tmp_path, environment={"P2PHUB_LABELS": "nonsense"}).labels
    near = Surroundings(labels.networks, labels.hosts)
    found = [str(near.of(Address(ip, 1))) for ip in ("10.1.7.1", "10.1.9.1", "2600::1", "10.1.7.8", "10.1.7.9")]
    assert found == ["rack", "site", "metered", "metered", "rack"]
    assert labels.hosts == {"mirror.example.org": Nearness.METERED}


def test_without_labels_there_are_none(tmp_path: Path) -> None:
    labels = load_config(home=tmp_path, environment={}).labels
    assert (labels.networks, labels.hosts) == ({}, {})


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("labels = 3", "a table is wanted"),
        ('[labels]\n"10.0.0.0/8" = "near"', "'near' is no label"),
        ('[labels]\n"10.0.0.0/8" = "lan"', "'lan' is no label"),
        ('[labels]\n"10.0.0.0/8" = 1', "'1' is no label"),
        ('[labels]\n"10.0.0.1/8" = "rack"', "has host bits set"),
        ('[labels]\n"10.0.0.0/33" = "rack"', "is no network"),
        ('[labels]\n"10.0.0.0/255.0.0.0" = "rack"', "is no network"),
        ('[labels]\n"10.0.0/8" = "rack"', "is no network"),
        ('[labels]\n"::ffff:10.0.0.0/104" = "rack"', "an IPv4 network written as IPv6"),
        ('[labels]\n"10.0.0.1" = "rack"\n"10.0.0.1/32" = "site"', "labelled twice"),
        ('[labels]\n"Mirror.Example.org" = "rack"', "neither a network nor a host's name"),
        ('[labels]\n"mirror.example.org:80" = "rack"', "neither a network nor a host's name"),
        ('[labels]\n"https://mirror.example.org" = "rack"', "is no network"),
        ('[labels]\n"user@host.example" = "rack"', "neither a network nor a host's name"),
        ('[labels]\n"" = "rack"', "neither a network nor a host's name"),
    ],
)
def test_a_wrong_label_is_named_with_its_place(tmp_path: Path, line: str, complaint: str) -> None:
    (tmp_path / "config.toml").write_text(line)
    with pytest.raises(UsageError, match=r"config\.toml: labels: ") as caught:
        load_config(home=tmp_path, environment={})
    assert complaint in str(caught.value)


def test_there_are_not_endless_labels() -> None:
    many = {f"10.0.{number // 256}.{number % 256}": "rack" for number in range(LABELS_MAX + 1)}
    with pytest.raises(UsageError, match="at most"):
        parse_labels(many)
    many.popitem()
    assert len(parse_labels(many).networks) == LABELS_MAX
