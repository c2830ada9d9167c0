"""The contestants: one module each, of the shape `Contestant`, or `CrowdContestant` for the races in a crowd."""

from benchmarks.contestants.aria2 import Aria2
from benchmarks.contestants.bare import Bare
from benchmarks.contestants.crowd import CrowdContestant, Finished, Member, Scene
from benchmarks.contestants.curl import Curl
from benchmarks.contestants.disk import Disk
from benchmarks.contestants.far import Far
from benchmarks.contestants.hub import Hub
from benchmarks.contestants.interface import Contestant
from benchmarks.contestants.iroh import Iroh
from benchmarks.contestants.kubo import Kubo
from benchmarks.contestants.p2phub import P2phub
from benchmarks.contestants.p2phub_busy import BusyP2phub
from benchmarks.contestants.p2phub_crowd import P2phubCrowd
from benchmarks.contestants.rsync import Rsync
from benchmarks.contestants.torrent import Torrent
from benchmarks.contestants.torrent_crowd import TorrentCrowd

__all__ = [
    "Aria2",
    "Bare",
    "BusyP2phub",
    "Contestant",
    "CrowdContestant",
    "Curl",
    "Disk",
    "Far",
    "Finished",
    "Hub",
    "Iroh",
    "Kubo",
    "Member",
    "P2phub",
    "P2phubCrowd",
    "Rsync",
    "Scene",
    "Torrent",
    "TorrentCrowd",
]
