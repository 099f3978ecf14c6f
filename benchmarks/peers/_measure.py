"""One interleaved run: every peer is verified, then all take turns."""

from __future__ import annotations

import gc
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod
from statistics import median

from benchmarks.common import touch_memory
from benchmarks.peers._image import Image
from benchmarks.peers._peer import Peer
from starfish_fetch import trace

__all__ = ["INSTALL", "Result", "measure"]

INSTALL = "pip install -e '.[peers]'"


@dataclass
class Result:
    """What one peer did with one image.

    Attributes
    ----------
    name : str
        Of the peer.
    status : {"ok", "wrong", "failed", "absent"}
        Whether it brought the right pixels, wrong ones, none, or is not installed.
    versions : dict
        Of what it uses.
    lines : int
        How many lines its user writes.
    detail : str
        What was wrong, or what installs it.
    opens : int or None
        How often a load opened a file, where that was seen.
    prepared : float
        Seconds of what was done once, before.
    seconds : list of float
        Of each load.
    """

    name: str
    status: str = "ok"
    versions: dict[str, str] = field(default_factory=dict)
    lines: int = 0
    detail: str = ""
    opens: int | None = None
    prepared: float = 0.0
    seconds: list[float] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether it can be compared."""
        return self.status == "ok"

    @property
    def median(self) -> float:
        """Seconds of a load."""
        return median(self.seconds)


def measure(
    image: Image,
    peers: Sequence[type[Peer]],
    *,
    repeat: int,
    advance: Callable[[int], object] | None = None,
) -> list[Result]:
    """Verify every peer, then time all of them in turns, one load each, again and again.

    Every load that is timed is verified after it, too.

    Parameters
    ----------
    image : Image
        What to bring into memory.
    peers : sequence of Peer classes
        Who takes part; those that cannot are in the result with the reason.
    repeat : int
        How many turns.
    advance : callable, optional
        Called with 1 after each turn of a peer.

    Returns
    -------
    list of Result
        In the order of the peers.
    """
    results = []
    contest = []
    for kind in peers:
        result = Result(kind.name, versions=kind.versions(), lines=kind.lines())
        results.append(result)
        missing = [name for name in kind.distributions if name not in result.versions]
        if missing:
            result.status = "absent"
            result.detail = f"{', '.join(missing)} not installed: {INSTALL}"
        else:
            contest.append((kind(), result))
    for peer, result in contest:
        _prepare(peer, image, result)
        # What is imported late, and files not yet in the page cache, are not the subject.
        with trace(image.dataset.root.parent) as seen:
            _load(peer, image, result)
        # Files are at times opened past Python, which is not seen.
        result.opens = seen.opens or None
        result.seconds.clear()
    gc.freeze()  # what the libraries are made of need not be swept again and again
    try:
        for _ in range(repeat):
            for peer, result in contest:
                _load(peer, image, result)
                if advance is not None:
                    advance(1)
    finally:
        gc.unfreeze()
    return results


def _prepare(peer: Peer, image: Image, result: Result) -> None:
    start = time.perf_counter()
    try:
        peer.prepare(image)
    except Exception as error:
        _failed(result, error)
    result.prepared = time.perf_counter() - start


def _load(peer: Peer, image: Image, result: Result) -> None:
    if not result.ok:
        return
    gc.collect()  # one peer's garbage is not to be swept in another's time
    touch_memory(2 * 4 * prod(image.shape))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = time.perf_counter()
        try:
            array = peer.load(image)
        except Exception as error:
            _failed(result, error)
            return
        result.seconds.append(time.perf_counter() - start)
    problem = image.problem(array)
    if problem is not None:
        result.status, result.detail = "wrong", problem


def _failed(result: Result, error: Exception) -> None:
    result.status = "failed"
    result.detail = " ".join(f"{type(error).__name__}: {error}".split())
