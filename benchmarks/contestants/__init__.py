"""The contestants: one module each, all of the shape `Contestant`."""

from benchmarks.contestants.bare import Bare
from benchmarks.contestants.curl import Curl
from benchmarks.contestants.interface import Contestant
from benchmarks.contestants.p2phub import P2phub
from benchmarks.contestants.torrent import Torrent

__all__ = ["Bare", "Contestant", "Curl", "P2phub", "Torrent"]
