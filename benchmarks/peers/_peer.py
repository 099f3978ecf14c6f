"""What a peer is: a way to bring an image into memory."""

from __future__ import annotations

import ast
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from textwrap import dedent
from typing import Any, ClassVar

from benchmarks.peers._image import Image, Intensities

__all__ = ["Peer"]


class Peer(ABC):
    """A library, used as its documentation recommends.

    A peer is made anew for each image. What ``load`` gives back is compared with the oracle
    before anything is timed, and after each time.

    Attributes
    ----------
    name : str
        What the table calls it.
    distributions : tuple of str
        What must be installed. The version of the first is shown.
    code : tuple of functions or classes
        What a user has to write beside ``load``.

    Examples
    --------
    >>> class Tifffile(Peer):
    ...     name = "tifffile, one file after another"
    ...     distributions = ("tifffile",)
    ...
    ...     def load(self, image):
    ...         import tifffile
    ...
    ...         read = np.stack([tifffile.imread(path) for path in image.paths])
    ...         return (read * SCALE).reshape(image.shape)
    """

    name: ClassVar[str]
    distributions: ClassVar[tuple[str, ...]]
    code: ClassVar[tuple[Callable[..., Any], ...]] = ()

    def prepare(self, image: Image) -> None:
        """Do what is needed once, before loads; its seconds are stated apart."""
        return

    @abstractmethod
    def load(self, image: Image) -> Intensities:
        """Return the image, 5-D, from 0 to 1, in memory."""

    @classmethod
    def versions(cls) -> dict[str, str]:
        """Return the version of each distribution that is installed."""
        return dict(_installed(cls.distributions))

    @classmethod
    def lines(cls) -> int:
        """Return how many lines of code a load takes its user, in one and the same style."""
        return sum(map(_lines, (cls.load, *cls.code)))


def _installed(names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for name in names:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue


def _lines(written: Callable[..., Any]) -> int:
    tree = ast.parse(dedent(inspect.getsource(written)))
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            del node.body[0]
    return sum(bool(line.strip()) for line in ast.unparse(tree).splitlines())
