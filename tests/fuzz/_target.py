"""What is fuzzed, and what has to hold of it."""

import random
import signal
import tempfile
import tracemalloc
from abc import ABC, abstractmethod
from contextlib import contextmanager
from pathlib import Path

SECONDS = 5
SPARE = 8 << 20
"""Bytes that any reader may take beside twice the declared size."""
RESIDENT_SPARE = 32 << 20
"""The same of all memory of the process: what is imported only now, and what is kept for later."""
_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Finding(AssertionError):
    """A promise that does not hold."""


class Target(ABC):
    """A reader, and files to begin with."""

    name: str
    longest = 1 << 16
    _folder: tempfile.TemporaryDirectory[str] | None = None

    def close(self) -> None:
        """Remove its files."""
        if self._folder is not None:
            self._folder.cleanup()

    @abstractmethod
    def seeds(self) -> list[bytes]:
        """Return what is read without an error."""

    def found(self) -> list[bytes]:
        """Return what a promise was once broken by."""
        return []

    @abstractmethod
    def read(self, data: bytes) -> object:
        """Return what was read, or None; raise Finding if it was refused in a wrong way."""

    def check(self, found: object) -> None:
        """Raise Finding if what was read is wrong."""
        assert found is not None

    @abstractmethod
    def mutate(self, data: bytes, chance: random.Random) -> bytes:
        """Change what a fuzzer that knows the format would."""

    def declared(self, data: bytes) -> int:
        """Return how many bytes of memory the caller asks for."""
        return len(data)

    def one(self, data: bytes) -> bool:
        """Read under the watch of all promises."""
        started = tracemalloc.is_tracing()
        if not started:
            tracemalloc.start()
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        try:
            with hang_guard(self.name), resident_peak() as resident:
                found = self.read(data)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            if not started:
                tracemalloc.stop()
        most = 2 * self.declared(data) + SPARE
        if peak - before > most:
            raise Finding(f"{self.name}: {peak - before} bytes of memory; at most {most}")
        if resident and resident[0] > most - SPARE + RESIDENT_SPARE:
            raise Finding(f"{self.name}: {resident[0]} bytes of memory, as the system counts")
        if found is not None:
            self.check(found)
        return found is not None


@contextmanager
def resident_peak():
    """Give a list in which will be how much memory was taken at most, what C takes included.

    On Linux; elsewhere it stays empty.
    """
    found: list[int] = []
    if not _RESET.exists():
        yield found
        return
    _RESET.write_text("5")  # the peak of before is forgotten
    before = _of_status("VmRSS")
    yield found
    found.append(_of_status("VmHWM") - before)


def _of_status(name: str) -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) << 10


@contextmanager
def hang_guard(what: str, seconds: float = SECONDS):
    """Stop what takes this long of CPU time, which no load of the machine changes."""

    def stop(number, frame):
        raise Finding(f"{what}: not done after {seconds} s of CPU time")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def mutate_bytes(data: bytes, chance: random.Random) -> bytes:
    """Change a few bytes, wherever they are."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 4, 8))):
        place = chance.randrange(len(changed) + 1)
        match chance.randrange(6):
            case 0 if place < len(changed):
                changed[place] ^= 1 << chance.randrange(8)
            case 1 if place < len(changed):
                changed[place] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
            case 2:
                del changed[place : place + chance.choice((1, 2, 4, 64))]
            case 3:
                changed[place:place] = changed[place : place + chance.choice((1, 4, 12, 64))]
            case 4:
                del changed[place:]
            case _:
                start = chance.randrange(len(changed) + 1)
                piece = changed[start : start + chance.choice((1, 2, 4, 8, 12))]
                changed[place : place + len(piece)] = piece
    return bytes(changed)


def refused(error: Exception, *words: str) -> None:
    """Check that an error says what it is about, and does not say it at length."""
    said = "\n".join([str(error), *getattr(error, "__notes__", ())])
    for word in words:
        if word not in said:
            raise Finding(f"the error does not name {word!r}: {type(error).__name__}: {said}")
    if len(said) > 4000:
        raise Finding(f"the error has {len(said)} characters: {said:.200}")
