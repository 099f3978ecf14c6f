"""What the zoo says of a fetcher: what it reads, and which checks have to find what."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

__all__ = ["BROKEN", "CORRECT", "Entry", "right", "sin"]


@dataclass(frozen=True)
class Entry:
    """A fetcher, and what checking it has to say."""

    name: str
    make: Callable[[], Any]
    """Returns a fresh fetcher."""
    image: Any
    """Has the extent and the oracle."""
    by: frozenset[str] = frozenset()
    """Checks of which at least one has to find it, given the oracle."""
    also: frozenset[str] = frozenset()
    """Checks that may fail besides: what they say is true as well."""
    blind: frozenset[str] | None = frozenset()
    """Those of which one has to find it without an oracle; None: right data could look the same."""
    warns: bool = False
    """Whether a warning is what it deserves."""
    given: Any = None
    """The oracle, if not the image's; a function without arguments that returns it."""
    deadline: float | None = None
    """Seconds."""

    @property
    def extent(self):
        return self.image.extent

    @property
    def oracle(self):
        return self.given() if self.given else self.image.oracle

    @property
    def accepted(self) -> frozenset[str]:
        """Checks that may fail without blaming the wrong thing."""
        return self.by | self.also | (self.blind or frozenset())


BROKEN: dict[str, Entry] = {}
CORRECT: dict[str, Entry] = {}


def sin(*by, of, also=(), blind=(), oracle=None, warns=False, deadline=None, unseen=False):
    """Enter a broken fetcher: a class or function that takes its image.

    Without an oracle one of ``by``, ``also`` and ``blind`` has to find it, unless right data could
    look the same: ``unseen``.
    """

    def enter(make):
        name = make.__name__
        assert name not in BROKEN, name
        BROKEN[name] = Entry(
            name,
            partial(make, of),
            of,
            by=frozenset(by),
            also=frozenset(also),
            blind=None if unseen else frozenset(by) | frozenset(also) | frozenset(blind),
            warns=warns,
            given=oracle,
            deadline=deadline,
        )
        return make

    return enter


def right(*images, oracle=None):
    """Enter a correct fetcher: a class or function that takes its image; once for each image."""

    def enter(make):
        for number, image in enumerate(images):
            name = make.__name__ if len(images) == 1 else f"{make.__name__}_{number}"
            assert name not in CORRECT, name
            CORRECT[name] = Entry(name, partial(make, image), image, given=oracle)
        return make

    return enter
