"""A proxy between a client and an HTTP server on loopback, that breaks what passes through it."""

from __future__ import annotations

import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import BufferedReader
from typing import Literal

# Longer than any client is to wait, and short enough to see one that would wait on.
_FOR_EVER = 15.0

Kind = Literal["cut", "reset", "stall", "short", "silent", "hang up", "answer"]


@dataclass(frozen=True)
class Fault:
    """What becomes of one answer.

    ``cut``, ``reset`` and ``stall``: after some bytes of the body the connection ends, ends with a
    RST, or says no more; of an answer without a body, after its headers. ``short``: well-formed,
    with so many bytes of the body. ``silent`` and ``hang up``: not a byte comes; the server is not
    asked. ``answer``: these bytes come, and the server is not asked.
    """

    kind: Kind
    after: int = 1000
    bytes: bytes = b""


@dataclass
class Proxy:
    """What passed, and what is to go wrong.

    ``fault(method, path, number)`` may return one for a request, by its number from 0.
    """

    port_of_server: int
    fault: Callable[[str, str, int], Fault | None] = lambda method, path, number: None
    latency: float = 0.0
    requests: list[tuple[str, str]] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    ended: threading.Event = field(default_factory=threading.Event)
    sockets: set[socket.socket] = field(default_factory=set)

    def count(self, name: str = "") -> int:
        return sum(name in path for _, path in self.requests)

    def forget(self) -> None:
        with self.lock:
            self.requests.clear()
            self.most_at_once = self.at_once

    def serve(self, client: socket.socket) -> None:
        """Pass on what one connection asks for, one request after another."""
        server = socket.create_connection(("127.0.0.1", self.port_of_server))
        with self.lock:
            self.sockets |= {client, server}
        try:
            with suppress(OSError):
                self.exchange(client, server)
        finally:
            with self.lock:
                self.sockets -= {client, server}
            for one in (client, server):
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
                one.close()

    def exchange(self, client: socket.socket, server: socket.socket) -> None:
        with server.makefile("rb") as answers:
            while not self.ended.is_set() and (head := _asked(client)):
                method, path, _ = head.decode("latin-1").split(" ", 2)
                # Not until it is answered: who has an answer may ask on before this is known here.
                with self.under_way(method, path) as number:
                    fault = self.fault(method, path, number)
                    self.ended.wait(self.latency)
                    if fault is None or fault.kind not in ("silent", "hang up", "answer"):
                        server.sendall(head)
                        answer = _head(answers)
                    elif fault.kind == "silent":
                        self.ended.wait(_FOR_EVER)
                        return
                    elif fault.kind == "hang up":
                        return
                if fault is not None and fault.kind == "answer":
                    client.sendall(fault.bytes)
                    return
                if not self.pass_on(answer, answers, client, method == "HEAD", fault):
                    return

    @contextmanager
    def under_way(self, method: str, path: str) -> Iterator[int]:
        with self.lock:
            number = len(self.requests)
            self.requests.append((method, path))
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            yield number
        finally:
            with self.lock:
                self.at_once -= 1

    def pass_on(
        self,
        answer: bytes,
        answers: BufferedReader,
        client: socket.socket,
        without_body: bool,
        fault: Fault | None,
    ) -> bool:
        """Return whether the connection may go on."""
        found = re.search(rb"\r\ncontent-length: *(\d+)", answer, re.I)
        size = 0 if without_body or found is None else int(found[1])
        left = size if fault is None else min(size, fault.after)
        if fault is not None and fault.kind == "short" and size:
            assert found is not None
            answer = answer.replace(found[0], b"\r\nContent-Length: %d" % left)
        client.sendall(answer)
        while left:
            data = answers.read1(min(left, 1 << 16))
            if not data:
                return False
            client.sendall(data)
            left -= len(data)
        if fault is None:
            return True
        if fault.kind == "short":
            # The client, which has a whole answer, may ask on: an end here would lose that.
            answers.read(size - min(size, fault.after))
            return True
        if fault.kind == "stall":
            self.ended.wait(_FOR_EVER)
        if fault.kind == "reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()  # without a shutdown, which would end it in order
        return False


def _asked(client: socket.socket) -> bytes:
    """Read a request, which has no body; nothing at the end of a connection."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        data = client.recv(1 << 16)
        if not data:
            return b""
        head += data
    return head


def _head(answers: BufferedReader) -> bytes:
    """Read an answer to the end of its headers."""
    lines = [answers.readline()]
    while lines[-1] not in (b"", b"\r\n"):
        lines.append(answers.readline())
    return b"".join(lines)


@contextmanager
def proxied(port: int) -> Iterator[tuple[str, Proxy]]:
    """Stand between; yields the URL to ask instead, and what passes."""
    state = Proxy(port)
    threads = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> None:
            while not state.ended.is_set():
                with suppress(OSError):
                    client, _ = listening.accept()
                    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    threads.append(threading.Thread(target=state.serve, args=(client,)))
                    threads[-1].start()

        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}", state
        finally:
            state.ended.set()
            listening.shutdown(socket.SHUT_RDWR)
            accepting.join()
            with state.lock:
                for one in state.sockets:
                    with suppress(OSError):
                        one.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()
