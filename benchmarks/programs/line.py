"""Join two new networks by a long line: `python -m benchmarks.programs.line BYTES_PER_S ROUND_TRIP_S QUEUE_BYTES`.

Makes two network namespaces, each with loopback and one end of the line (a TUN device), prints their paths on a line
for whoever starts processes there, and carries packets both ways until SIGTERM. Then it prints how that went. The
namespaces have no name: they are gone with this process and those in them, however it ends. Takes root.

Each way is a `Lane`: a queue of QUEUE_BYTES, BYTES_PER_S, and half of ROUND_TRIP_S. A shell would ask the kernel for
that (netem), but not every kernel has it.
"""

from __future__ import annotations

import ctypes
import fcntl
import gc
import os
import select
import signal
import socket
import struct
import sys
import time
from contextlib import suppress
from typing import NoReturn

from benchmarks.isolation import bring_up, enter_new_network
from benchmarks.lane import Lane
from benchmarks.line import ENDS

_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x1, 0x1000
_SIOCSIFADDR, _SIOCSIFNETMASK, _SIOCSIFMTU, _SIOCSIFTXQLEN = 0x8916, 0x891C, 0x8922, 0x8943
_NETMASK = "255.255.255.0"
_MTU = 9000  # A packet costs Python the same whatever its size; with 1500 it could not carry a gigabit.
_WAITING_PACKETS = 8192  # In the kernel, until this program reads: the queue that drops is the lane's.
_PR_SET_PDEATHSIG = 1
_PRIORITY = -10  # Of two cores both are wanted by those whom it joins, and a line waits for nobody.
_TICK_S = 0.0005  # How late a packet may arrive, for the sake of fewer system calls.
_READS_MAX = 256  # From one end before the other has its turn.


def main() -> None:
    """Join two new networks until SIGTERM."""
    rate, round_trip_s, queue_bytes = float(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # Also if the driver is killed and cannot end it.
    signal.signal(signal.SIGTERM, _end)
    ends = [_new_end(address) for address in ENDS]
    print(*(f"/proc/{os.getpid()}/fd/{network}" for _, network in ends), flush=True)
    lanes = [Lane(bytes_per_s=rate, delay_s=round_trip_s / 2, queue_bytes=queue_bytes) for _ in ends]
    with suppress(PermissionError):  # Some containers' root may not, and its packets are later.
        os.setpriority(os.PRIO_PROCESS, 0, _PRIORITY)
    gc.disable()  # It makes no cycles, and a collection would hold up packets.
    began = time.monotonic()
    try:
        _carry([device for device, _ in ends], lanes)
    finally:
        dropped, taken = (sum(getattr(lane, name) for lane in lanes) for name in ("dropped", "taken"))
        busy = time.process_time() / (time.monotonic() - began)
        print(f"{dropped:,} of {dropped + taken:,} packets dropped, {busy:.0%} of a core")


def _new_end(address: str) -> tuple[int, int]:
    """Enter a new network; return its device of that address, and a descriptor that keeps the network."""
    enter_new_network()
    network = os.open("/proc/self/ns/net", os.O_RDONLY)
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    name = b"line"
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", name, _IFF_TUN | _IFF_NO_PI))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for request, number in ((_SIOCSIFMTU, _MTU), (_SIOCSIFTXQLEN, _WAITING_PACKETS)):
            fcntl.ioctl(any_socket, request, struct.pack("16si20x", name, number))
        for request, ip in ((_SIOCSIFADDR, address), (_SIOCSIFNETMASK, _NETMASK)):
            fcntl.ioctl(any_socket, request, struct.pack("16sHH4s16x", name, socket.AF_INET, 0, socket.inet_aton(ip)))
    bring_up(name)
    return device, network


def _carry(devices: list[int], lanes: list[Lane]) -> NoReturn:
    """Move packets from each device to the other one, over a lane each way."""
    there, back = devices
    ways = ((there, lanes[0], back), (back, lanes[1], there))
    while True:
        more = False
        for source, lane, target in ways:
            more |= _read(source, lane)
            for packet in lane.arrived(now=time.monotonic()):
                os.write(target, packet)
        if more:
            continue
        if any(lane.next_arrival is not None for lane in lanes):
            time.sleep(_TICK_S)
        else:
            select.select(devices, [], [])


def _read(source: int, lane: Lane) -> bool:
    """Put what waits at a device on its lane; return whether there may be more."""
    with suppress(BlockingIOError):
        for _ in range(_READS_MAX):
            lane.take(os.read(source, _MTU), now=time.monotonic())
        return True
    return False


def _end(*_: object) -> NoReturn:
    sys.exit()


if __name__ == "__main__":
    main()
