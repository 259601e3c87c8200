"""A name server that takes its time: python dns_server.py HOST DELAY_MS NAME=ADDRESS[,ADDRESS] ... Prints "ready".

Answers A and AAAA questions of these names, and that there is no such name for all others.
"""

import ipaddress
import socket
import sys
import threading
import time

A, AAAA, IN, NO_SUCH_NAME = 1, 28, 1, 3


def question_of(query: bytes) -> tuple[str, int, int]:
    """(name, type, where the question ends)"""
    at, labels = 12, []
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode("ascii"))
        at += 1 + query[at]
    return ".".join(labels).lower(), int.from_bytes(query[at + 1 : at + 3], "big"), at + 5


def answer_of(query: bytes, known: dict[str, list[str]]) -> bytes:
    name, kind, end = question_of(query)
    version = {A: 4, AAAA: 6}.get(kind)
    found = [ip for ip in map(ipaddress.ip_address, known.get(name, ())) if ip.version == version]
    flags = 0x8180 | (0 if name in known else NO_SUCH_NAME)
    head = query[:2] + b"".join(n.to_bytes(2, "big") for n in (flags, 1, len(found), 0, 0))
    rows = [b"\xc0\x0c" + kind.to_bytes(2, "big") + IN.to_bytes(2, "big") + (60).to_bytes(4, "big")
            + len(ip.packed).to_bytes(2, "big") + ip.packed for ip in found]  # fmt: skip
    return head + query[12:end] + b"".join(rows)


def main() -> None:
    host, delay_ms, *names = sys.argv[1:]
    known = {name: said.split(",") for name, said in (one.split("=") for one in names)}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((host, 53))
        print("ready", flush=True)
        while True:
            query, peer = server.recvfrom(4096)

            def reply(query: bytes = query, peer: tuple = peer) -> None:
                time.sleep(float(delay_ms) / 1000)
                server.sendto(answer_of(query, known), peer)

            threading.Thread(target=reply, daemon=True).start()


if __name__ == "__main__":
    main()
