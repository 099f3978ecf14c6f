"""A server of the files of a folder, on loopback, that can be made to misbehave."""

import re
import threading
import time
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote


class Server:
    """What a server was asked for, and what is to go wrong.

    ``fault(method, path, number)`` may name one for a request, by its number from 0: a status, a
    status with headers, "drop", "stall", "cut" or "short".
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        self.latency = 0.0
        self.ranges = True
        self.etag = True
        self.led = {}
        self.fault = lambda method, path, number: None
        self.let_go = threading.Event()
        self.contents = {}
        for path in self.folder.rglob("*"):
            self.read(path)
        self.forget()

    def read(self, path):
        """Return a file's content and version; opened once, so that a trace sees others' opens."""
        if not path.is_file():
            return None
        version = path.stat().st_mtime_ns
        if self.contents.get(path, (None, None))[1] != version:
            self.contents[path] = path.read_bytes(), version
        return self.contents[path]

    def forget(self):
        self.requests = Counter()
        self.bytes_sent = 0
        self.most_at_once = self.at_once = 0
        self.lock = threading.Lock()

    @property
    def count(self):
        return self.requests.total()

    def gets(self, name=""):
        return sum(n for (method, path), n in self.requests.items()
                   if method == "GET" and name in path)  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer()

    def do_GET(self):
        self.answer()

    def answer(self):
        state = self.server.state
        with state.lock:
            number = state.count
            state.requests[self.command, self.path] += 1
            self.under_way = 1
            state.at_once += 1
            state.most_at_once = max(state.most_at_once, state.at_once)
        try:
            time.sleep(state.latency)
            self.answer_with(state, state.fault(self.command, self.path, number))
        except ConnectionError:
            self.close_connection = True
        finally:
            self.answered()

    def answered(self):
        with self.server.state.lock:
            self.server.state.at_once -= self.under_way
            self.under_way = 0

    def end_headers(self):
        # Who has an answer may ask on before this is known here.
        self.answered()
        super().end_headers()

    def answer_with(self, state, fault):
        name = self.path.partition("?")[0]
        if name in state.led:
            self.send_response(302)
            self.send_header("Location", state.led[name])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        path = state.folder / unquote(name.lstrip("/")).removeprefix("moved/")
        if fault == "drop":
            self.close_connection = True
            return
        if fault == "stall":
            state.let_go.wait(10)
            self.close_connection = True
            return
        found = state.read(path)
        if found is None:
            fault = 404
        if isinstance(fault, int):
            fault = fault, {}
        if isinstance(fault, tuple):
            self.send_response(fault[0])
            for name_and_value in fault[1].items():
                self.send_header(*name_and_value)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        data, version = found
        size = len(data)
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if asked and state.ranges:
            start, stop = int(asked[1]), int(asked[2]) + 1
            data = data[start:stop]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
        else:
            self.send_response(200)
        if state.etag:
            self.send_header("ETag", f'"{version}"')
        if fault == "short" and self.command == "GET":  # and well-formed
            data = data[: len(data) // 2]
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault == "cut":  # in the middle of an answer
            data = data[: len(data) // 2]
            self.close_connection = True
        with state.lock:
            state.bytes_sent += len(data)
        self.wfile.write(data)


@contextmanager
def serving(folder):
    """Serve a folder; yields the URL and the state of the server."""
    state = Server(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.state = state
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", state
    finally:
        state.let_go.set()
        server.shutdown()
        thread.join()
        server.server_close()
