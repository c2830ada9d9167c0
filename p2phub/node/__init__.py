"""Our own process: home, keys, configuration, composition, lifecycle, control socket."""

from p2phub.node.config import Config, load_config, parse_listen
from p2phub.node.control import daemon_running, remote_verbs
from p2phub.node.durations import parse_duration
from p2phub.node.keystore import KEYS_FOLDER, gateway_token
from p2phub.node.lifecycle import open_node, run_daemon, salvage_home
from p2phub.node.rates import parse_cap

__all__ = [
    "KEYS_FOLDER",
    "Config",
    "daemon_running",
    "gateway_token",
    "load_config",
    "open_node",
    "parse_cap",
    "parse_duration",
    "parse_listen",
    "remote_verbs",
    "run_daemon",
    "salvage_home",
]
