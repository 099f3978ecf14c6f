"""RemoteTiffTileFetcher: tiles out of TIFF files on a server."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from starfish_fetch.axes import Coordinates, CoordinateValue, Extent
from starfish_fetch.layout import Layout
from starfish_fetch.open_file import OpenFile
from starfish_fetch.remote_file import RemoteFile
from starfish_fetch.remote_server import Server, copied, without_query
from starfish_fetch.tiff import TiffTileFetcher
from starfish_fetch.tiff_file import Header, TiffFiles

__all__ = ["RemoteTiffTileFetcher"]

CoordinatesOfPlane = Callable[[int, int], Mapping[Coordinates, CoordinateValue]]


class RemoteTiffFiles(TiffFiles):
    """Reads planes of TIFF files on a server. Safe from several threads if the server's files are.

    Parameters
    ----------
    shape, pages, dtype
        As of :class:`TiffFiles`.
    server : tuple
        The arguments of a :class:`Server`.
    cache : str, optional
        A folder for copies of whole files.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        pages: int,
        dtype: np.dtype[Any] | None,
        server: tuple[str, int, float, Mapping[str, Any]],
        cache: str | None,
    ) -> None:
        self._arguments = server
        self._cache = cache
        super().__init__(shape, pages, dtype)

    def _start(self) -> None:
        super()._start()
        self.server = Server(*self._arguments)
        self._turns: dict[str, threading.Lock] = {}

    def __getstate__(self) -> Any:
        return super().__getstate__(), self._arguments, self._cache

    def __setstate__(self, state: Any) -> None:
        files, self._arguments, self._cache = state
        super().__setstate__(files)

    def close(self) -> None:
        """Forget all files, and let go of connections."""
        super().close()
        self.server.close()

    def _file(self, path: str) -> tuple[OpenFile, Header]:
        if self._process != os.getpid():  # a fork may have left the lock taken
            self._start()
        # Two threads open two files at a time: what takes long is to wait for the server.
        with self._lock:
            known = self._kept(path)
            turn = self._turns.setdefault(path, threading.Lock()) if known is None else None
        if known is not None or turn is None:
            assert known is not None
            return known
        with turn:
            with self._lock:
                known = self._kept(path)
            if known is None:
                fresh = self._fresh(path)
                with self._lock:
                    known = self._keep(path, *fresh)
                    self._turns.pop(path, None)
        return known

    def _open_file(self, path: str) -> OpenFile:
        if self._cache is None:
            return RemoteFile(self.server, path)
        return OpenFile(copied(self.server, path, self._cache))


class RemoteTiffTileFetcher(TiffTileFetcher):
    """Fetches tiles from TIFF files below a URL, cut by any :class:`Layout`.

    Any URL that fsspec knows: ``https://``, ``s3://``, ``gs://``, ``zip://::https://`` and more,
    those other than http by packages that fsspec names. Of each file its header is read, and the
    bytes of the tiles that are wanted, a plane by one request where it lies in one piece. As many
    requests are under way as a load has ``workers``: with a slow network, more than there are
    processors. All else is as of :class:`TiffTileFetcher`.

    A file that does not exist is a ``FileNotFoundError`` at once. What may pass, a broken
    connection, a status of 5xx, an answer that is too short, is asked for again after a moment,
    or after what the server says in ``Retry-After``; a server that says nothing is a
    ``TimeoutError``. Every error names the URL and the tile.

    Parameters
    ----------
    url : str
        Of the folder below which the layout's paths are. A query of http (``?...``, such as one
        signature for all files) is sent with every request, and is in no name and no message.
    layout, extent, coordinates, dtype
        As of :class:`TiffTileFetcher`.
    retries : int, optional
        How often to repeat a request that failed in passing. Default: 3.
    timeout : float, optional
        Seconds for each answer, repetitions included. It does not interrupt file systems that
        fsspec reads without asyncio, such as ftp. Default: 60.
    cache : path, optional
        A folder to copy whole files to, each once, and to read them from; a file that has changed
        on the server is copied again. Needed for servers that know no ranges. Default: no copies.
    storage_options : mapping, optional
        For fsspec's file system: credentials, ``headers``.

    Raises
    ------
    MissingExtraError
        If fsspec or aiohttp is not installed.
    ValueError
        If the layout maps two tiles of the extent to one place, or a number makes no sense.

    Examples
    --------
    >>> import fsspec, numpy as np, tifffile
    >>> import starfish_fetch as sf
    >>> extent = sf.Extent({"y": 4, "x": 6}, fov=0, rounds=[0, 1], chs=[0, 1], zplanes=[0])
    >>> for r in range(2):
    ...     with fsspec.open(f"memory://data/r{r}.tiff", "wb") as file:
    ...         tifffile.imwrite(file, np.full((2, 4, 6), r, np.uint8))
    >>> layout = sf.Layout("r{r}.tiff", inner="cz")
    >>> with sf.RemoteTiffTileFetcher("memory://data", layout, extent) as fetcher:
    ...     print(fetcher.source(0, 1, 0, 0), fetcher.get_tile(0, 1, 0, 0).tile_data().mean())
    memory://data/r1.tiff 1.0
    """

    def __init__(
        self,
        url: str,
        layout: Layout,
        extent: Extent,
        *,
        coordinates: Mapping[Coordinates, CoordinateValue] | CoordinatesOfPlane | None = None,
        dtype: DTypeLike | None = None,
        retries: int = 3,
        timeout: float = 60.0,
        cache: str | os.PathLike[str] | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        if retries < 0 or not timeout > 0:
            raise ValueError(
                f"retries must be at least 0 and timeout above 0; got {retries} and {timeout}"
            )
        root = without_query(url)
        super().__init__(root, layout, extent, coordinates=coordinates, dtype=dtype)
        self._prefix = root.rstrip("/") + "/"
        files = RemoteTiffFiles(
            self._tile_shape,
            layout.pages(extent),
            None if dtype is None else np.dtype(dtype),
            (url, retries, timeout, dict(storage_options or {})),
            None if cache is None else os.path.abspath(cache),
        )
        self._files = files
        self.thread_safe = files.server.thread_safe
