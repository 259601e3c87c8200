"""A wire between two network namespaces, with a delay each way and a loss: what netem does, where the kernel has none.

    python wire.py DELAY_MS LOSS_PERCENT NAMESPACE=ADDRESS,... NAMESPACE=ADDRESS,...

Each namespace gets a device named "wire"; packets that go into one come out of the other. Prints "ready".
"""

import ctypes
import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import sys
import time

TUNSETIFF, IFF_TUN, IFF_NO_PI, CLONE_NEWNET = 0x400454CA, 0x0001, 0x1000, 0x40000000
MOST_BYTES = 65536


def open_end(namespace: str, addresses: list[str]) -> int:
    """The descriptor of a device inside the namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/self/ns/net") as ours, open(f"/run/netns/{namespace}") as theirs:
        if libc.setns(theirs.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
        try:
            end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            fcntl.ioctl(end, TUNSETIFF, struct.pack("16sH", b"wire", IFF_TUN | IFF_NO_PI))
        finally:
            libc.setns(ours.fileno(), CLONE_NEWNET)
    for address in addresses:
        more = ["nodad"] if ":" in address else []
        subprocess.run(["ip", "-n", namespace, "addr", "add", address, "dev", "wire", *more], check=True)
    subprocess.run(["ip", "-n", namespace, "link", "set", "wire", "up"], check=True)
    return end


def carry(first: int, second: int, delay_s: float, loss: float) -> None:
    other, due, chance, number = {first: second, second: first}, [], random.Random(7), 0
    while True:
        wait = max(due[0][0] - time.monotonic(), 0) if due else None
        for end in select.select([first, second], [], [], wait)[0]:
            packet = os.read(end, MOST_BYTES)
            if chance.random() >= loss:
                number += 1
                heapq.heappush(due, (time.monotonic() + delay_s, number, other[end], packet))
        while due and due[0][0] <= time.monotonic():
            _, _, end, packet = heapq.heappop(due)
            os.write(end, packet)


def main() -> None:
    delay_ms, loss_percent, *ends = sys.argv[1:]
    first, second = [open_end(name, said.split(",")) for name, said in (end.split("=") for end in ends)]
    print("ready", flush=True)
    carry(first, second, float(delay_ms) / 1000, float(loss_percent) / 100)


if __name__ == "__main__":
    main()
