"""Settings: where each comes from, and how a wrong one is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2phub.errors import UsageError
from p2phub.identity import Address, PeerId
from p2phub.node.config import LISTEN_DEFAULT, load_config, parse_listen, parse_rate

PEER = PeerId(bytes(range(32)))
BOOTSTRAP = f"/ip4/192.0.2.7/tcp/4717/p2p/{PEER}"


def test_without_anything_set_the_defaults_hold(tmp_path: Path) -> None:
    config = load_config(home=tmp_path, environment={})
    assert (config.home, config.listen, config.bootstrap) == (tmp_path, LISTEN_DEFAULT, ())
    assert (config.lan, config.up, config.down) == (True, None, None)


def test_options_come_before_the_environment_before_the_file_before_the_default(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('up = "1MB"\ndown = "1MB"\nlisten = ["127.0.0.1:1"]\nlan = false\n')
    environment = {"P2PHUB_UP": "2MB", "P2PHUB_DOWN": "2MB"}
    config = load_config(home=tmp_path, up="3MB", environment=environment)
    assert (config.up, config.down, config.listen, config.lan) == (
        3_000_000,
        2_000_000,
        (Address("127.0.0.1", 1),),
        False,
    )


def test_the_home_is_the_option_else_the_environment_else_a_folder_of_the_platform(tmp_path: Path) -> None:
    environment = {"P2PHUB_HOME": str(tmp_path / "environment")}
    assert load_config(home=tmp_path / "option", environment=environment).home == tmp_path / "option"
    assert load_config(environment=environment).home == tmp_path / "environment"
    assert load_config(environment={}).home.name == "p2phub"
    assert load_config(home="somewhere", environment={}).home.is_absolute()


def test_every_setting_has_an_environment_variable(tmp_path: Path) -> None:
    config = load_config(
        home=tmp_path,
        environment={
            "P2PHUB_LISTEN": "127.0.0.1:0,[::1]:5",
            "P2PHUB_BOOTSTRAP": f"{BOOTSTRAP} {BOOTSTRAP}",
            "P2PHUB_MIRRORS": "https://a.example/{name}, https://b.example/x",
            "P2PHUB_LAN": "0",
            "P2PHUB_UP": "1kB",
            "P2PHUB_DOWN": "1KiB",
        },
    )
    assert config.listen == (Address("127.0.0.1", 0), Address("::1", 5))
    assert [str(each) for each in config.bootstrap] == [BOOTSTRAP]
    assert config.mirrors == ("https://a.example/{name}", "https://b.example/x")
    assert (config.lan, config.up, config.down) == (False, 1000, 1024)
    assert load_config(home=tmp_path, environment={"P2PHUB_NO_LAN": "1"}).lan is False
    assert load_config(home=tmp_path, environment={"P2PHUB_NO_LAN": "0"}).lan is True


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("1", 1),
        (250_000, 250_000),
        ("20MB", 20_000_000),
        ("20MiB", 20 << 20),
        ("1.5 GB/s", 1_500_000_000),
        ("2KB", 2000),
    ],
)
def test_rates_count_in_tens_or_in_twos(text: str | int, rate: int) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "0", "-1", "fast", "1XB", "1e9", "inf", "nan", "1 2", "9" * 50, True])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_rate(text)


@pytest.mark.parametrize(
    "text", ["", "4717", "localhost:4717", "1.2.3.4", "1.2.3.4:70000", "::1:4717", "[::1]", "1.2.3.4:x"]
)
def test_what_is_no_address_to_listen_on_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="listen on"):
        parse_listen(text)


@pytest.mark.parametrize(
    ("file", "complaint"),
    [
        ("lisen = []", "no setting 'lisen'"),
        ("listen = 4717", "config.toml: listen: a list"),
        ("lan = 1", "config.toml: lan: either true or false"),
        ('up = "quick"', "config.toml: up: not a rate"),
        ('bootstrap = ["/ip4/1.2.3.4/tcp/1"]', "config.toml: bootstrap: not an address of a peer"),
        ('mirrors = ["http://h.example/x"]', "config.toml: mirrors: not the URL of a mirror"),
        ('mirrors = ["https://h.example/{path}"]', "config.toml: mirrors: a mirror has no {path}"),
        ("listen = [", "not a TOML file"),
        ("\xff", "not a TOML file"),
    ],
)
def test_a_wrong_setting_in_the_file_is_named_with_its_place(tmp_path: Path, file: str, complaint: str) -> None:
    (tmp_path / "config.toml").write_bytes(file.encode("latin-1"))
    with pytest.raises(UsageError) as caught:
        load_config(home=tmp_path, environment={})
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("LISTEN", "nowhere"), ("BOOTSTRAP", "1.2.3.4"), ("LAN", "maybe"), ("UP", "x"), ("NO_LAN", "maybe")],
)
def test_a_wrong_environment_variable_is_named(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(UsageError, match=f"P2PHUB_{name}"):
        load_config(home=tmp_path, environment={f"P2PHUB_{name}": value})


def test_a_wrong_option_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--bootstrap"):
        load_config(home=tmp_path, bootstrap=["nowhere"], environment={})
