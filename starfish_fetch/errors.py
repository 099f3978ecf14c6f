"""The exceptions and warnings that are this library's own; all others are Python's."""

from __future__ import annotations

__all__ = ["DataFormatWarning", "MissingExtraError", "OutsideTileError", "SourceError", "require"]


class DataFormatWarning(Warning):
    """Data loaded, but not all of it is what a user would expect."""


class OutsideTileError(ValueError, IndexError):
    """A crop reaches beyond the tile, or keeps nothing of it.

    An IndexError too, because that is what starfish raises for a row or column out of range.
    """


class SourceError(ValueError):
    """A file is there, but is not what the layout and the extent say that it is."""


class MissingExtraError(ImportError):
    """A feature needs a package that this installation does not have."""


def require(module: str, extra: str, purpose: str) -> MissingExtraError:
    """Build the error for a missing optional package.

    Parameters
    ----------
    module : str
        The package that could not be imported.
    extra : str
        The extra of this distribution that installs it.
    purpose : str
        What needs it, as the start of a sentence.

    Examples
    --------
    >>> print(require("xarray", "xarray", "ImageStack.xarray"))
    ImageStack.xarray needs xarray: pip install 'starfish-fetch[xarray]'
    """
    return MissingExtraError(
        f"{purpose} needs {module}: pip install 'starfish-fetch[{extra}]'", name=module
    )
