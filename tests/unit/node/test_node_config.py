"""Settings: where each comes from, and how a wrong one is told."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from p2phub.errors import DiskError, UsageError
from p2phub.identity import Address, PeerId
from p2phub.node.config import _READERS, LISTEN_DEFAULT, find_home, load_config, parse_listen
from tests.support.house import ROOT

PEER = PeerId(bytes(range(32)))
PAGE = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
BOOTSTRAP = f"/ip4/192.0.2.7/tcp/4717/p2p/{PEER}"


def test_without_anything_set_the_defaults_hold(tmp_path: Path) -> None:
    config = load_config(home=tmp_path, environment={})
    assert (config.home, config.listen, config.bootstrap) == (tmp_path, LISTEN_DEFAULT, ())
    assert (config.lan, config.up, config.down, config.wait) == (True, None, None, None)


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


def test_uploads_to_the_gateway_are_off_until_the_user_says_otherwise(tmp_path: Path) -> None:
    assert load_config(home=tmp_path, environment={}).gateway_uploads is False
    (tmp_path / "config.toml").write_text("gateway_uploads = true\n")
    assert load_config(home=tmp_path, environment={}).gateway_uploads is True
    assert load_config(home=tmp_path, environment={"P2PHUB_GATEWAY_UPLOADS": "no"}).gateway_uploads is False
    (tmp_path / "config.toml").write_text('gateway_uploads = "perhaps"\n')
    with pytest.raises(UsageError, match="gateway_uploads"):
        load_config(home=tmp_path, environment={})


@pytest.mark.parametrize(("key", "port"), [("gateway", 7700), ("metrics", 7701)])
def test_what_listens_beside_the_node_is_off_at_its_usual_port_or_where_it_is_said(
    tmp_path: Path, key: str, port: int
) -> None:
    def read(text: str) -> Address | None:
        (tmp_path / "config.toml").write_text(text)
        found = getattr(load_config(home=tmp_path, environment={}), key)
        assert found is None or isinstance(found, Address)
        return found

    assert read("") is None
    assert read(f"{key} = true") == Address("127.0.0.1", port)
    assert read(f'{key} = "[::1]:5"') == Address("::1", 5)
    for off in ("false", '"none"'):
        assert read(f"{key} = {off}") is None
    for wrong in (str(port), f'"{port}"', '""', "[]", '"localhost:1"', "1.5"):
        with pytest.raises(UsageError, match=rf"config.toml: {key}: not an address to listen on") as caught:
            read(f"{key} = {wrong}")
        assert f"127.0.0.1:{port}" in str(caught.value.hint)
    with pytest.raises(UsageError, match=r"config.toml: gateway_users: not the name of a user"):
        read('gateway_users = ["\\u0000"]')


def test_the_number_of_bulk_processes_is_bounded(tmp_path: Path) -> None:
    assert load_config(home=tmp_path, environment={}).bulk_processes == 1
    assert load_config(home=tmp_path, environment={"P2PHUB_BULK_PROCESSES": "0"}).bulk_processes == 0
    (tmp_path / "config.toml").write_text("bulk_processes = 2\n")
    assert load_config(home=tmp_path, environment={}).bulk_processes == 2
    assert load_config(home=tmp_path, bulk_processes=64, environment={}).bulk_processes == 64
    for wrong in (-1, 65, True):
        with pytest.raises(UsageError, match="--bulk-processes"):
            load_config(home=tmp_path, bulk_processes=wrong, environment={})
    with pytest.raises(UsageError, match="P2PHUB_BULK_PROCESSES"):
        load_config(home=tmp_path, environment={"P2PHUB_BULK_PROCESSES": "many"})


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
            "P2PHUB_UP": "100kB",
            "P2PHUB_DOWN": "100KiB",
            "P2PHUB_WAIT": "10m",
        },
    )
    assert config.listen == (Address("127.0.0.1", 0), Address("::1", 5))
    assert [str(each) for each in config.bootstrap] == [BOOTSTRAP]
    assert config.mirrors == ("https://a.example/{name}", "https://b.example/x")
    assert (config.lan, config.up, config.down, config.wait) == (False, 100_000, 102_400, 600)
    assert load_config(home=tmp_path, environment={"P2PHUB_NO_LAN": "1"}).lan is False
    assert load_config(home=tmp_path, environment={"P2PHUB_NO_LAN": "0"}).lan is True


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
        ('down = "9kB"', "config.toml: down: a cap of 9,000 bytes a second is too low"),
        ('wait = "soon"', "config.toml: wait: not a time to wait"),
        ("schedule = 1", "config.toml: schedule: tables are wanted"),
        ('[[schedule]]\nfrom = "8"\nto = "9:00"\nup = "1MB"', "config.toml: schedule: from: a time is wanted"),
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


def test_a_wrong_setting_is_named_though_an_option_overrules_it(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('up = "1kB"')
    with pytest.raises(UsageError, match=r"config\.toml: up: a cap of"):
        load_config(home=tmp_path, up="1MB", environment={"P2PHUB_UP": "2MB"})


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


def test_a_cap_can_be_lifted_by_the_environment(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('up = "1MB"\n')
    assert load_config(home=tmp_path, environment={"P2PHUB_UP": "none"}).up is None


def test_a_schedule_is_read_from_the_file_alone(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[[schedule]]\nfrom = "08:00"\nto = "18:00"\nup = "2 MB"\n')
    config = load_config(home=tmp_path, environment={"P2PHUB_SCHEDULE": "nonsense"})
    [row] = config.schedule
    assert (row.begins, row.ends, row.sets) == (480, 1080, (("up", 2_000_000),))


def test_a_pipe_in_place_of_the_file_keeps_nobody_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.toml")
    with pytest.raises(DiskError, match="not a file"):
        load_config(home=tmp_path, environment={})


def test_the_file_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("lan = false")
    (tmp_path / "config.toml").symlink_to("settings.toml")
    assert not load_config(home=tmp_path, environment={}).lan


def test_the_page_of_settings_names_each_key_and_no_other() -> None:
    rows = [[cell.strip() for cell in line.split(" | ")] for line in PAGE.splitlines() if line.startswith("| `")]
    keys = [row[0].strip("|` ") for row in rows]
    assert sorted(keys) == sorted(_READERS)
    for key, row in zip(keys, rows, strict=True):
        assert len(row) == 6, f"{key}: what, variable, option, default, example"
        assert (f"P2PHUB_{key.upper()}" in row[2]) == (key not in ("schedule", "labels")), "tables are for a file"


def test_the_example_of_the_page_of_settings_has_each_key_and_is_read(tmp_path: Path) -> None:
    [example] = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)
    (tmp_path / "config.toml").write_text(example)
    config = load_config(home=tmp_path, environment={})
    assert set(re.findall(r"^\[{0,2}(\w+)(?: =|\])", example.partition("from =")[0], flags=re.MULTILINE)) == set(
        _READERS
    )
    assert (config.up, config.down, config.bulk_processes, len(config.schedule)) == (20_000_000, None, 1, 1)


def test_only_what_the_user_said_names_where_to_listen(tmp_path: Path) -> None:
    assert not load_config(home=tmp_path, environment={}).names_listen
    same = [f"{'[::]' if ':' in address.ip else address.ip}:{address.port}" for address in LISTEN_DEFAULT]
    assert load_config(home=tmp_path, listen=same, environment={}).names_listen
    assert load_config(home=tmp_path, environment={"P2PHUB_LISTEN": "127.0.0.1:0"}).names_listen


def test_an_empty_home_is_refused_and_an_empty_variable_is_not_set(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--home: the name of the folder is empty"):
        find_home("", {"P2PHUB_HOME": str(tmp_path)})
    assert find_home(None, {"P2PHUB_HOME": ""}) == find_home(None, {})


def test_a_switch_that_is_neither_on_nor_off_is_told_with_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'maybe'") as caught:
        load_config(home=tmp_path, environment={"P2PHUB_NO_LAN": "maybe"})
    assert caught.value.hint == "set P2PHUB_NO_LAN=1 or leave it out"


@pytest.mark.parametrize(("key", "meant"), [("boostrap", "bootstrap"), ("quotas", "quota"), ("frobnicate", None)])
def test_a_misspelt_key_of_the_file_is_told_what_may_be_meant(tmp_path: Path, key: str, meant: str | None) -> None:
    (tmp_path / "config.toml").write_text(f"{key} = 1\n")
    with pytest.raises(UsageError) as refused:
        load_config(home=tmp_path, environment={})
    hint = str(refused.value.hint)
    assert hint.startswith("settings are listen" if meant is None else f"do you mean {meant}? settings are listen")


@pytest.mark.parametrize(
    ("variable", "meant"),
    [("BOOSTRAP", "BOOTSTRAP"), ("BOOTSTRAPS", "BOOTSTRAP"), ("HOM", "HOME"), ("GATEWAY_USER", "GATEWAY_USERS")],
)
def test_a_misspelt_variable_is_told_what_may_be_meant(tmp_path: Path, variable: str, meant: str) -> None:
    with pytest.raises(UsageError, match=f"P2PHUB_{variable}") as told:
        load_config(home=tmp_path, environment={f"P2PHUB_{variable}": "1"})
    assert told.value.hint == f"do you mean P2PHUB_{meant}?"


def test_what_a_cluster_sets_for_a_service_of_our_name_is_nothing_to_us(tmp_path: Path) -> None:
    ports = {f"PORT_{port}_TCP{what}": "x" for port in (4717, 7700, 7701) for what in ("", "_ADDR", "_PORT", "_PROTO")}
    services = {f"SERVICE_{what}": "x" for what in ("HOST", "PORT", "PORT_GATEWAY", "PORT_METRICS", "PORT_PEERS")}
    environment = {f"P2PHUB_{name}": "x" for name in {**ports, **services, "PORT": "x", "BENCH_DIR": "x"}}
    assert load_config(home=tmp_path, environment=environment).bootstrap == ()
    assert load_config(home=tmp_path, environment={"P2PHUB_BOOSTRAP": ""}).bootstrap == ()
