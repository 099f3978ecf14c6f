"""What a command is about: a fetcher, and the labels and tile shape of its image."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import click

from starfish_fetch.axes import Axes, Extent
from starfish_fetch.cli._errors import Failure, asked, one_line, others_code
from starfish_fetch.cli._synth import open_dataset

if TYPE_CHECKING:
    from synth import Dataset

__all__ = ["Labels", "Subject", "find"]

_FORMS = (
    "path/to/file.py:factory, package.module:factory, or the folder of a synth dataset, of an "
    "experiment in SpaceTx format or of OME-Zarr"
)


@dataclass(frozen=True)
class Labels:
    """What the options say of the image; None where they say nothing."""

    rounds: Sequence[int] | None = None
    chs: Sequence[int] | None = None
    zplanes: Sequence[int] | None = None
    size: tuple[int, int] | None = None
    fov: int | None = None

    def missing(self) -> list[str]:
        """Return the options, other than --fov, that were not given."""
        names = ("rounds", "chs", "zplanes", "size")
        return [f"--{name}" for name in names if getattr(self, name) is None]


@dataclass(frozen=True)
class Subject:
    """What a command is about.

    Parameters
    ----------
    make : callable
        Returns a fresh fetcher.
    fetcher : TileFetcher or None
        One that it made, unless none was to be made.
    extent : Extent
        Labels and tile shape.
    dataset : Dataset or None
        That knows every pixel, if there is one.
    root : path or None
        The folder that the fetcher reads from, if it is known.
    """

    make: Callable[[], Any]
    fetcher: Any
    extent: Extent
    dataset: Dataset | None
    root: Path | None


def find(reference: str, like: Path | None, labels: Labels, *, unmade: bool = False) -> Subject:
    """Return the fetcher that a command line names.

    Parameters
    ----------
    reference : str
        ``path/to/file.py:factory``, ``package.module:factory``, or the folder of a synth dataset,
        of an experiment in SpaceTx format, or of OME-Zarr.
    like : path, optional
        A synth dataset with the same image.
    labels : Labels
        What the options say of the image.
    unmade : bool, optional
        Whether to make no fetcher unless its extent has to be asked of it: that one cannot be
        made is then for the caller to find. Default: False.

    Raises
    ------
    click.UsageError
        If there is no such thing, or its extent is not known.
    """
    place, colon, name = reference.rpartition(":")
    folder = Path(reference)
    if folder.is_dir() or not colon:
        if not folder.exists():
            raise click.UsageError(f"there is no {reference!r}; give {_FORMS}")
        reader = _reader(folder)
        if len(labels.missing()) < 4 or (like is not None and reader is None):
            raise click.UsageError(
                f"{reference!r} {'is a dataset, which knows its' if reader is None else 'has its'} "
                "labels: leave out "
                + ("--like" if like is not None else "--rounds, --chs, --zplanes and --size")
            )
        if reader is not None:
            return _of_folder(folder, reader, like, labels)
        dataset = open_dataset(folder)
        extent = _extent_of(dataset, labels)
        make = partial(dataset.fetcher, extent.fov)
        return Subject(make, None if unmade else make(), extent, dataset, folder)
    # What the command line alone can tell is told before anybody's code runs.
    oracle = None if like is None else open_dataset(like)
    if oracle is not None and len(labels.missing()) < 4:
        raise click.UsageError(
            "--like gives the labels: leave out --rounds, --chs, --zplanes, --size"
        )
    known = None if oracle is None else _extent_of(oracle, labels)
    if known is None and not labels.missing():
        known = _extent_from(None, labels)
    with others_code():
        factory = _factory(place, name)
        fetcher = None if unmade and known is not None else _make(factory, f"{place}:{name}")
    return Subject(factory, fetcher, known or _extent_from(fetcher, labels), oracle, None)


def _reader(folder: Path) -> Callable[[Path], Any] | None:
    """Return what reads a folder that is of no synth dataset, by the files in it."""
    if (folder / "experiment.json").is_file():
        from starfish_fetch.interop.spacetx import SpaceTxTileFetcher

        return SpaceTxTileFetcher
    if any((folder / name).is_file() for name in ("zarr.json", ".zattrs")):
        from starfish_fetch.interop.ome_zarr import OmeZarrTileFetcher

        return OmeZarrTileFetcher
    return None


def _of_folder(
    folder: Path, reader: Callable[[Path], Any], like: Path | None, labels: Labels
) -> Subject:
    fetcher = reader(folder)
    dataset = None if like is None else open_dataset(like)
    with asked("--fov"):
        extent = fetcher.extent if labels.fov is None else fetcher.extent_of(labels.fov)
    return Subject(partial(reader, folder), fetcher, extent, dataset, folder)


def _extent_of(dataset: Dataset, labels: Labels) -> Extent:
    with asked("--fov"):
        return dataset.extent(dataset.spec.fovs[0] if labels.fov is None else labels.fov)


def _extent_from(fetcher: Any, labels: Labels) -> Extent:
    missing = labels.missing()
    if not missing:
        assert labels.size is not None
        rows, columns = labels.size
        with asked():
            return Extent(
                {Axes.Y: rows, Axes.X: columns},
                labels.fov or 0,
                labels.rounds,  # type: ignore[arg-type]
                labels.chs,  # type: ignore[arg-type]
                labels.zplanes,  # type: ignore[arg-type]
            )
    own = getattr(fetcher, "extent", None)
    if own is None or len(missing) < 4:
        raise click.UsageError(
            f"the extent is not known: give {', '.join(missing)}, or --like with a dataset, or the "
            "fetcher an attribute 'extent'"
        )
    try:
        extent = Extent(own.tile_shape, own.fov, own.rounds, own.chs, own.zplanes)
    except (AttributeError, TypeError, ValueError) as error:
        raise click.UsageError(f"the fetcher's extent is none: {one_line(error)}") from error
    return extent if labels.fov is None else replace(extent, fov=labels.fov)


def _factory(place: str, name: str) -> Callable[[], Any]:
    module = _module(place)
    try:
        factory: Callable[[], Any] = attrgetter(name)(module)
    except AttributeError:
        raise click.UsageError(f"{place} has no {name!r}") from None
    if not callable(factory):
        raise click.UsageError(
            f"{place}:{name} is {factory!r:.80}; name a function or a class that returns a fetcher"
        )
    return factory


def _make(factory: Callable[[], Any], reference: str) -> Any:
    fetcher = factory()
    if not hasattr(fetcher, "get_tile"):
        raise click.UsageError(
            f"{reference} returned {fetcher!r:.80}, which has no 'get_tile': it is no fetcher"
        )
    return fetcher


def _module(place: str) -> ModuleType:
    path = Path(place)
    if path.suffix == ".py":
        if not path.is_file():
            raise click.UsageError(f"there is no file {place!r}")
        _import_from(path.resolve().parent)
        try:
            return _module_at(path.resolve())
        except Exception as error:
            raise Failure(_where(error, str(path.resolve()), place)) from error
    _import_from(Path.cwd())
    try:
        return import_module(place)
    except ModuleNotFoundError as error:
        if error.name and f"{place}.".startswith(f"{error.name}."):
            raise click.UsageError(f"there is no module {place!r}; give {_FORMS}") from error
        raise Failure(_where(error, "", place)) from error
    except (TypeError, ValueError) as error:  # a relative or an empty name
        if place and not place.startswith("."):
            raise Failure(_where(error, "", place)) from error
        raise click.UsageError(f"{place!r} is no module; give {_FORMS}") from error
    except Exception as error:
        raise Failure(_where(error, "", place)) from error


def _import_from(folder: Path) -> None:
    """Let a fetcher's code import what lies beside it, as a script can."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _module_at(path: Path) -> ModuleType:
    # The name is one that no import statement has.
    spec = spec_from_file_location(f"<starfish-fetch {path.stem}>", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _where(error: Exception, path: str, place: str) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == path]
    line = f", line {lines[-1]}" if lines else ""
    return f"{place} cannot be imported: {one_line(error)}{line}"
