"""How planes are read out of the readers of files that others have written."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Mapping
from math import prod
from typing import Any

import numpy as np

from starfish_fetch.errors import SourceError
from starfish_fetch.interop._plane_readers import (
    ArrayReader,
    AxesGiven,
    PlaneReader,
    Position,
    XarrayReader,
)

__all__ = ["reader_of"]


class SeriesReader(PlaneReader):
    """Reads the pages of a tifffile.TiffPageSeries."""

    kind = "tifffile series"

    def __init__(self, series: Any, axes: AxesGiven, labels: Mapping[str, list[int]]) -> None:
        super().__init__(tuple(series.axes), axes, series.shape, labels)
        self._series = series
        self._by_page = (
            series.keyframe.shape == series.shape[-2:]
            and {"y", "x"} == set(self.axes[-2:])
            and len(series) == prod(series.shape[:-2])
        )
        self._whole: Any = None

    def read(self, position: Position, rows: slice, columns: slice) -> Any:
        """Read the page of a plane; of a series that is not one page for each plane, all once."""
        index = self._index(position, rows, columns)
        if not self._by_page:
            if self._whole is None:
                self._whole = self._series.asarray()
            return self._upright(self._whole[index])
        number = int(np.ravel_multi_index(index[:-2], self._series.shape[:-2])) if index[:-2] else 0
        page = self._series[number]
        if page is None:
            raise SourceError(f"page {number} of the series {self._series.name!r} is missing")
        return self._upright(page.asarray()[index[-2:]])


class SequenceReader(PlaneReader):
    """Reads the files of a tifffile.TiffSequence, keeping the last."""

    kind = "tifffile sequence"

    def __init__(self, sequence: Any, axes: AxesGiven, labels: Mapping[str, list[int]]) -> None:
        self._files = dict(zip(sequence.indices, sequence, strict=True))
        self._imread = sequence.imread
        first = self._imread(next(iter(sequence)))
        names = tuple(sequence.dims) + (("y", "x") if first.ndim == 2 else ())
        self._in_file = first.shape
        shape = (*sequence.shape, *first.shape)
        super().__init__(names, axes, shape, labels)
        self._across = len(sequence.shape)
        # In a container, what is opened is the container.
        self._named = getattr(sequence, "_container", None) is None
        self._last: tuple[str, Any] = "", None
        if {"y", "x"} & set(self.axes[: self._across]):
            raise ValueError(f"y and x lie within a file; the axes of the files are {self.axes}")

    def _file(self, index: tuple[Any, ...]) -> str:
        try:
            return str(self._files[index[: self._across]])
        except KeyError:
            raise FileNotFoundError(
                f"the sequence has no file at {index[: self._across]} of its axes "
                f"{self.axes[: self._across]}"
            ) from None

    def read(self, position: Position, rows: slice, columns: slice) -> Any:
        """Read the file of a plane, unless it was the one before."""
        index = self._index(position, rows, columns)
        path = self._file(index)
        last = self._last
        if path != last[0]:
            image = self._imread(path)
            if image.shape != self._in_file:
                raise SourceError(
                    f"{path} holds the shape {image.shape}; expected {self._in_file}, as the first "
                    "file of the sequence has"
                )
            self._last = last = path, image
        return self._upright(last[1][index[self._across :]])

    def source(self, position: Position) -> Hashable | None:
        """Return the path of the file."""
        if not self._named:
            return None
        try:
            return self._file(self._index(position, slice(0), slice(0)))
        except FileNotFoundError:
            return None


class FramesReader(PlaneReader):
    """Reads the frames of a pims.FramesSequenceND, whose own axes stay as they are set."""

    kind = "pims sequence"

    def __init__(self, frames: Any, axes: AxesGiven, labels: Mapping[str, list[int]]) -> None:
        names = [name for name in frames.sizes if name not in "yx"] + ["y", "x"]
        super().__init__(names, axes, [frames.sizes[name] for name in names], labels)
        self._frames = frames
        self._names = names[:-2]
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=threading.Lock())

    def read(self, position: Position, rows: slice, columns: slice) -> Any:
        """Read one frame, rows then columns."""
        frames, index = self._frames, self._index(position, rows, columns)
        shape = [frames.sizes[name] for name in self._names]
        number = int(np.ravel_multi_index(index[:-2], shape)) if shape else 0
        with self._lock:
            bundled, iterated = frames.bundle_axes, frames.iter_axes
            try:
                frames.bundle_axes, frames.iter_axes = ["y", "x"], self._names
                plane = np.asarray(frames.get_frame(number))
            finally:
                frames.iter_axes = []
                frames.bundle_axes, frames.iter_axes = bundled, iterated
        return plane[index[-2:]]


def reader_of(planes: Any, axes: AxesGiven, labels: Mapping[str, list[int]]) -> PlaneReader:
    """Return the reader for what an object can do, whatever its class."""
    if hasattr(planes, "bundle_axes") and hasattr(planes, "get_frame"):
        return FramesReader(planes, axes, labels)
    if hasattr(planes, "indices") and hasattr(planes, "imread"):
        return SequenceReader(planes, axes, labels)
    if hasattr(planes, "series") and hasattr(planes, "pages"):  # a TiffFile
        return SeriesReader(planes.series[0], axes, labels)
    if hasattr(planes, "keyframe") and hasattr(planes, "asarray"):
        return SeriesReader(planes, axes, labels)
    if type(planes).__module__.startswith("tifffile") and hasattr(planes, "is_multiscales"):
        planes = _zarr_array(planes)
    if not (hasattr(planes, "shape") and hasattr(planes, "dtype")):
        raise TypeError(
            f"a {type(planes).__name__} is nothing that planes are known to be read from: give a "
            "function (fov, round, ch, zplane) that reads one, with extent="
        )
    if np.dtype(planes.dtype).kind not in "biuf":
        raise TypeError(f"pixels are numbers; this {type(planes).__name__} holds {planes.dtype}")
    if hasattr(planes, "isel") and hasattr(planes, "variable"):
        return XarrayReader(planes, axes, labels)
    return ArrayReader(planes, axes, labels)


def _zarr_array(store: Any) -> Any:
    """Open what ``aszarr`` returned; of a pyramid, the full resolution."""
    import zarr

    opened = zarr.open(store, mode="r")
    return opened if hasattr(opened, "shape") else opened["0"]
