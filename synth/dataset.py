"""A dataset on disk: open, ask, verify."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from starfish_fetch.axes import Extent
from starfish_fetch.layout import Layout
from synth import _verify
from synth._damage import Damage
from synth._manifest import FileRecord, Manifest, Options, read_manifest
from synth.pixels import tile
from synth.spec import Spec

if TYPE_CHECKING:
    from starfish_fetch.tiff import TiffTileFetcher

__all__ = ["Dataset"]


class Dataset:
    """A synthetic image on disk. Made by :func:`synth.write` and by :meth:`open`.

    Examples
    --------
    >>> import tempfile
    >>> import synth
    >>> from starfish_fetch.layout import Layout
    >>> spec = synth.Spec(rounds=2, chs=1, zplanes=3, tile_shape=(6, 5))
    >>> with tempfile.TemporaryDirectory() as root:
    ...     _ = synth.write(spec, Layout.per_round(), root)
    ...     dataset = synth.Dataset.open(root)
    >>> dataset.tile(round=1, ch=0, zplane=2).shape
    (6, 5)
    """

    def __init__(self, root: Path, manifest: Manifest) -> None:
        self._root = root
        self._manifest = manifest

    @classmethod
    def open(cls, root: str | os.PathLike[str]) -> Dataset:
        """Read what a folder says of itself; no image file is touched.

        Raises
        ------
        FileNotFoundError
            If there is no ``dataset.json``.
        OSError
            If it is no file, or a link that leads out of the folder.
        ValueError
            If it is damaged, of a newer version, or names files outside of the folder; the message
            names the field.
        """
        root = Path(root)
        return cls(root, read_manifest(root))

    @property
    def root(self) -> Path:
        """The folder."""
        return self._root

    @property
    def spec(self) -> Spec:
        """What the image is."""
        return self._manifest.spec

    @property
    def layout(self) -> Layout:
        """How it is cut into files."""
        return self._manifest.layout

    @property
    def options(self) -> Options:
        """How the files were written."""
        return self._manifest.options

    @property
    def files(self) -> Mapping[str, FileRecord]:
        """Each file, by its path below the root: its SHA-256 and its size when it was written."""
        return MappingProxyType(dict(self._manifest.files))

    @property
    def damage(self) -> tuple[Damage, ...]:
        """What was damaged on purpose; ``files`` and :meth:`tile` are about what was not."""
        return self._manifest.damage

    def extent(self, fov: int = 0) -> Extent:
        """Return the labels and the tile shape of one field of view.

        Raises
        ------
        ValueError
            If there is no such field of view.
        """
        return self.spec.extent(fov)

    def tile(self, round: int, ch: int, zplane: int, fov: int = 0) -> npt.NDArray[Any]:
        """Return the pixels that a tile should have, without reading a file.

        Raises
        ------
        ValueError
            If the image does not have one of the labels.
        """
        return tile(self.spec, fov, round, ch, zplane)

    def fetcher(self, fov: int | None = None) -> TiffTileFetcher:
        """Return a fetcher of the files; of ``.npy`` files it is a :class:`NpyTileFetcher`.

        It follows links wherever they lead; :meth:`verify` names those that leave the folder.

        Parameters
        ----------
        fov : int, optional
            The field of view of its extent; default: the first.
        """
        from starfish_fetch.tiff import TiffTileFetcher

        make = TiffTileFetcher
        if self.options.format == "npy":
            from starfish_fetch.npy import NpyTileFetcher

            make = NpyTileFetcher
        return make(
            self.root,
            self.layout,
            self.extent(self.spec.fovs[0] if fov is None else fov),
            coordinates=self.spec.coordinates,
            dtype=self.spec.dtype,
        )

    def verify(self, progress: bool = False) -> _verify.Verification:
        """Read every file, without our own reader, and compare its digest and every pixel.

        What was damaged on purpose is no problem, as long as it is damaged in just that way; nor is
        a file that is not of the dataset. What is no plain file, or lies behind a link that leads
        out of the folder, is a problem, and is not opened.

        Parameters
        ----------
        progress : bool, optional
            Show a progress bar on stderr, if that is a terminal.
        """
        return _verify.verify(self.root, self._manifest, progress=progress)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Dataset):
            return NotImplemented
        return (self._root, self._manifest) == (other._root, other._manifest)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<synth.Dataset {str(self.root)!r}: {len(self._manifest.files)} files>"
