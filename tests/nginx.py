"""Debian's nginx over the files of a folder, on loopback."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import pytest

# One worker: what is logged is written before the next request is looked at. As root, it would
# give up being so, and not see the folders of a test.
CONFIGURATION = """
daemon off;
user root;
worker_processes 1;
pid {own}/pid;
error_log {own}/error.log;
events {{}}
http {{
  log_format plain "$request_method $request_uri $status $body_bytes_sent";
  access_log {own}/access.log plain;
  client_body_temp_path {own}/body;
  proxy_temp_path {own}/proxy;
  fastcgi_temp_path {own}/fastcgi;
  uwsgi_temp_path {own}/uwsgi;
  scgi_temp_path {own}/scgi;
  types {{}}
  default_type image/tiff;
  gzip off;
  server {{
    listen 127.0.0.1:{port};
    location /data/ {{ alias {folder}/; }}
    location /whole/ {{ alias {folder}/; max_ranges 0; }}
    location /gzip/ {{ alias {folder}/; gzip on; gzip_types image/tiff; gzip_min_length 1; }}
    location /closed/ {{ return 403; }}
    location /moved/ {{ rewrite ^/moved/(.*)$ /data/$1 redirect; }}
    location /signed/ {{
      if ($arg_sig != "{signature}") {{ return 403; }}
      alias {folder}/;
    }}
    location = /looked {{ access_log off; return 204; }}
  }}
}}
"""
SIGNATURE = "a%2Bb%2Fc%3D%26"


@dataclass(frozen=True)
class Logged:
    """A line of the access log."""

    method: str
    path: str
    status: int
    sent: int
    """Bytes of the body."""


class Nginx:
    """A server that runs."""

    def __init__(self, port: int, own: Path) -> None:
        self.port = port
        self._log = own / "access.log"
        self._begin = 0

    def forget(self) -> None:
        """Leave out of the log what is in it now."""
        self._begin += len(self.log())

    def log(self) -> list[Logged]:
        """Return every request that was answered, to the end or not."""
        # It is written after the answer; but before the next one is begun.
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("GET", "/looked")
        assert connection.getresponse().status == 204
        connection.close()
        lines = self._log.read_text().splitlines()[self._begin :]
        return [
            Logged(method, path, int(status), int(sent))
            for method, path, status, sent in map(str.split, lines)
        ]


@contextmanager
def serving(folder: Path, own: Path) -> Iterator[Nginx]:
    """Serve the files of a folder; another is the server's own.

    Where there is no nginx the test is skipped, unless the environment says that it is required.
    """
    binary = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if binary is None:
        reason = "there is no nginx: apt-get install nginx-light"
        if os.environ.get("STARFISH_FETCH_NGINX") == "required":
            pytest.fail(reason)
        pytest.skip(reason)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        text = CONFIGURATION.format(own=own, folder=folder, port=port, signature=SIGNATURE)
        (own / "nginx.conf").write_text(text)
        descriptor = listening.fileno()
        # As from a predecessor it takes over what listens already: nobody else can take the port,
        # and whoever connects before it is up waits.
        process = subprocess.Popen(
            [binary, "-c", str(own / "nginx.conf"), "-e", str(own / "error.log")],
            env={**os.environ, "NGINX": f"{descriptor};"},
            pass_fds=[descriptor],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    try:
        yield Nginx(port, own)
    finally:
        process.terminate()
        process.wait(30)
