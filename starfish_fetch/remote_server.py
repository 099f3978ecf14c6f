"""Servers that answer for files: bounded in time, tried again, never short of what was asked."""

from __future__ import annotations

import errno
import os
import random
import re
import tempfile
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from hashlib import sha256
from typing import Any, cast

from starfish_fetch import tracing
from starfish_fetch.errors import require

__all__ = ["Server", "copied", "size_of", "version_of", "without_query"]

_FIRST_WAIT, _LONGEST_WAIT = 0.1, 5.0
_PIECE = 1 << 23
_FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError,
          NotImplementedError, TypeError, ValueError, ImportError)  # fmt: skip
_QUERY = re.compile(r"\?[^\s'\"]*")
_OF_VERSION = frozenset(
    ("etag", "contentmd5", "digest", "lastmodified", "mtime", "updated", "md5hash")
)


# What is asked for by the task that runs; a request may be for another URL, to which it was led.
_wanted: ContextVar[str] = ContextVar("wanted")


@dataclass
class Server:
    """Answers requests for files below a URL.

    Parameters
    ----------
    root : str
        A URL that fsspec knows, or several chained ones. A query, of http alone, is sent with
        every request, and is in no name: it may be a signature.
    retries : int
        How often a request that failed in passing is made again.
    timeout : float
        Seconds for each answer, with all that is tried for it.
    options : mapping
        For fsspec's file system.
    """

    root: str
    retries: int
    timeout: float
    options: Mapping[str, Any]
    _fs: Any = field(init=False, repr=False)
    _base: str = field(init=False, repr=False)
    _is_http: bool = field(init=False, repr=False)
    _query: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        try:
            from fsspec.core import url_to_fs
        except ImportError:
            raise require("fsspec", "remote", "RemoteTiffTileFetcher") from None
        self._query = ""
        options = dict(self.options)
        self._is_http = self.root.startswith(("http://", "https://"))
        if self._is_http:
            url, self.root = self.root, without_query(self.root)
            self._query = url[len(self.root) :]
            # A compressed answer has another length than the range that was asked for.
            headers = {"Accept-Encoding": "identity", **options.get("headers", {})}
            options["headers"] = headers
            try:
                import aiohttp
            except ImportError:
                raise require("aiohttp", "remote", "RemoteTiffTileFetcher") from None
            # Only aiohttp knows of redirections, and of what fsspec and itself ask for again.
            watch = aiohttp.TraceConfig()
            watch.on_request_headers_sent.append(_sent)
            client = dict(options.get("client_kwargs", {}))
            client["trace_configs"] = [*(client.get("trace_configs") or ()), watch]
            options["client_kwargs"] = client
        self._fs, self._base = url_to_fs(self.root, skip_instance_cache=True, **options)

    @property
    def thread_safe(self) -> bool:
        """Whether several may ask at once."""
        return bool(self._fs.async_impl) or "file" in self._fs.protocol

    def close(self) -> None:
        """Let go of connections; the next request makes new ones."""
        session = getattr(self._fs, "_session", None)
        if session is not None and hasattr(self._fs, "close_session"):
            self._fs._session = None
            self._fs.close_session(self._fs.loop, session)

    def describe(self, url: str) -> dict[str, Any]:
        """Return what the server says of a file: its size, perhaps its version."""
        return cast("dict[str, Any]", self._ask("info", url))

    def read(self, url: str, start: int, stop: int, size: int) -> bytes:
        """Return a range of a file; where the server knows no ranges, the whole file.

        Raises
        ------
        OSError
            If no complete answer came in time.
        """

        def check(answer: bytes) -> None:
            tracing.received(url, len(answer))
            if len(answer) not in (stop - start, size):
                raise ConnectionError(f"{len(answer)} of {stop - start} bytes came")

        return cast("bytes", self._ask("cat_file", url, check, start=start, end=stop))

    def _ask(
        self, name: str, url: str, check: Callable[[Any], object] = len, **arguments: int
    ) -> Any:
        """Ask until there is an answer, retries are used up, or time is over."""
        ends = time.monotonic() + self.timeout
        attempt = 0
        while True:
            try:
                answer = self._ask_once(name, url, ends - time.monotonic(), arguments)
                check(answer)
            except Exception as error:
                cause = _cause(error)
                left = ends - time.monotonic()
                if isinstance(cause, TimeoutError) or left <= 0:
                    raise TimeoutError(
                        errno.ETIMEDOUT,
                        f"no answer within {self.timeout:g} s; if it is a slow one, allow more by "
                        "timeout=",
                        url,
                    ) from self._shown(error)
                if not _passes(cause):
                    raise self._named(cause, url) from self._shown(error)
                attempt += 1
                if attempt > self.retries:
                    raise OSError(
                        errno.EIO,
                        f"{attempt} requests failed, the last with {type(cause).__name__}: "
                        f"{self._words(cause)}; ask again later, or more often by retries=",
                        url,
                    ) from self._shown(error)
                wait = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** (attempt - 1)) * random.uniform(0.5, 1)
                told = _told_to_wait(cause)
                if told >= left:
                    raise TimeoutError(
                        errno.ETIMEDOUT,
                        f"the server asks to wait {told:g} s ({self._words(cause)}), and of "
                        f"{self.timeout:g} s {left:.2g} are left; ask again later, or allow more "
                        "by timeout=",
                        url,
                    ) from self._shown(error)
                time.sleep(min(max(wait, told), left))
            else:
                return answer

    def _words(self, error: BaseException) -> str:
        # aiohttp writes a query in its own way.
        return _QUERY.sub("?...", str(error)) if self._query else str(error)

    def _shown(self, error: BaseException) -> BaseException | None:
        """Return what an error may have as its cause: nothing that a query could stand in."""
        return None if self._query else error

    def _named(self, error: BaseException, url: str) -> BaseException:
        status = getattr(error, "status", None)
        if isinstance(error, FileNotFoundError) or status in (404, 410):
            return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), url)
        refused = f"the server refuses it ({self._words(error)})"
        if isinstance(error, PermissionError) or status in (401, 403):
            return PermissionError(errno.EACCES, refused, url)
        if status is not None:
            return OSError(errno.EIO, refused, url)
        return OSError(errno.EIO, self._words(error), url) if self._query else error

    def _ask_once(self, name: str, url: str, seconds: float, arguments: dict[str, int]) -> Any:
        path = self._base.rstrip("/") + url[len(self.root.rstrip("/")) :] + self._query
        if not self._is_http:
            tracing.requested(url)
        if not self._fs.async_impl:
            return getattr(self._fs, name)(path, **arguments)
        from fsspec.asyn import sync

        call = getattr(self._fs, f"_{name}")

        async def ask() -> Any:
            _wanted.set(url)
            return await call(path, **arguments)

        return sync(self._fs.loop, ask, timeout=max(seconds, 0.001))


async def _sent(*_: object) -> None:
    tracing.requested(_wanted.get())


def _cause(error: BaseException) -> BaseException:
    """Return what was behind a file that fsspec takes for missing."""
    while isinstance(error, FileNotFoundError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _passes(error: BaseException) -> bool:
    """Return whether to ask again may help."""
    status = getattr(error, "status", None)
    # What is no HTTP has a status, too, 400: of aiohttp's making.
    if isinstance(status, int) and error.__cause__ is None:
        return status >= 500 or status in (408, 425, 429)
    return not isinstance(error, _FINAL)


def _told_to_wait(error: BaseException) -> float:
    """Return the seconds that an answer says to wait, by ``Retry-After``; 0 if it says nothing."""
    text = (getattr(error, "headers", None) or {}).get("Retry-After", "")
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        until = parsedate_to_datetime(text).timestamp()
    except ValueError:
        return 0.0
    return max(0.0, until - time.time())


def without_query(url: str) -> str:
    """Return a URL of http without what follows the path; any other as it is.

    Examples
    --------
    >>> without_query("https://host/data?sig=x"), without_query("file:///what?")
    ('https://host/data', 'file:///what?')
    """
    return url.partition("?")[0] if url.startswith(("http://", "https://")) else url


def copied(server: Server, url: str, folder: str) -> str:
    """Return the path of a copy of a file, made now unless the same version was copied before."""
    found = server.describe(url)
    size = size_of(found, url)
    digest = sha256(repr((url, version_of(found))).encode()).hexdigest()[:20]
    path = os.path.join(folder, f"{digest}-{url.rpartition('/')[2]}")
    if os.path.exists(path):
        return path
    os.makedirs(folder, exist_ok=True)
    descriptor, partial = tempfile.mkstemp(dir=folder, suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            done = 0
            while done < size:
                data = server.read(url, done, min(done + _PIECE, size), size)
                if len(data) > _PIECE:  # all of it, from a server that knows no ranges
                    file.seek(0)
                done = file.tell() + file.write(data)
        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise
    return path


def size_of(found: Mapping[str, Any], url: str) -> int:
    """Return the size in what a server says of a file, or raise OSError."""
    size = found.get("size")
    if size is None:
        raise OSError(errno.EOPNOTSUPP, "the server does not say how large it is", url)
    return int(size)


def version_of(found: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what changes when a file does, of what a server says of it."""
    known = {name: str(value) for name, value in found.items()
             if name.lower().replace("-", "").replace("_", "") in _OF_VERSION}  # fmt: skip
    return found.get("size"), *sorted(known.items())
