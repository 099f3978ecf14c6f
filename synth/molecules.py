"""The truth of content "spots": which molecules there are, and what their targets look like."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from synth._sample import codes, drifts, molecules_near, parameters
from synth.spec import Spec

__all__ = ["codebook", "drift", "molecules", "target_names"]


def molecules(spec: Spec, fov: int | None = None) -> npt.NDArray[Any]:
    """Return the molecules whose centre a field of view shows, in no order.

    Parameters
    ----------
    spec : Spec
        An image with content "spots".
    fov : int, optional
        Label of the field of view; default: the first.

    Returns
    -------
    structured ndarray
        A row for each molecule: ``molecule`` (a number that overlapping fields of view share),
        ``target`` (its name), ``z``, ``y``, ``x`` (micrometres, in the coordinates of the tiles),
        ``plane`` (in labels of z-planes: 2.4 lies between planes 2 and 3), ``row``, ``column`` (in
        pixels of the field of view, whole numbers at the middle of a pixel) and ``photons`` (in its
        brightest pixel, in focus, in the first round, in a channel of which its code is 1). The
        positions are those in the first round; :func:`drift` says what later rounds add.

    Raises
    ------
    ValueError
        If the image has another content or no such field of view.

    Examples
    --------
    >>> from synth import Spec
    >>> spec = Spec(4, 3, 5, tile_shape=(256, 256), content="spots")
    >>> truth = molecules(spec, fov=0)
    >>> len(truth), truth.dtype.names
    (256, ('molecule', 'target', 'z', 'y', 'x', 'plane', 'row', 'column', 'photons'))
    """
    parameters(spec)
    fov = spec.extent(spec.fovs[0] if fov is None else fov).fov
    _, columns = spec.tile_shape
    near = molecules_near(spec, fov)
    inside = np.flatnonzero((near.column >= -0.5) & (near.column < columns - 0.5))
    names = np.array(target_names(spec))
    size_z, size_y, size_x = spec.voxel_size
    left = spec.fovs.index(fov) * spec.pitch
    found = {
        "molecule": near.number[inside],
        "target": names[near.target[inside]],
        "z": (near.z[inside] + 0.5) * size_z,
        "y": near.row[inside] * size_y,
        "x": (near.column[inside] + left) * size_x,
        "plane": near.z[inside],
        "row": near.row[inside],
        "column": near.column[inside],
        "photons": near.photons[inside],
    }
    table = np.empty(len(inside), [(name, column.dtype) for name, column in found.items()])
    for name, column in found.items():
        table[name] = column
    return table


def target_names(spec: Spec) -> tuple[str, ...]:
    """Return the name of each target.

    Examples
    --------
    >>> from synth import Spec, Spots
    >>> target_names(Spec(2, 2, 1, (8, 8), content="spots"))
    ('target_0', 'target_1')
    """
    given = parameters(spec).targets
    if isinstance(given, tuple):
        return given
    count = len(codes(spec))
    return tuple(f"target_{number:0{len(str(count - 1))}d}" for number in range(count))


def codebook(spec: Spec) -> npt.NDArray[np.float64]:
    """Return how brightly each target shines: (targets, rounds, channels), 1 for full.

    Targets are in the order of :func:`target_names`, rounds and channels in that of their labels.

    Raises
    ------
    ValueError
        If the image has another content.

    Examples
    --------
    >>> from synth import Spec
    >>> table = codebook(Spec(4, 3, 5, tile_shape=(256, 256), content="spots"))
    >>> table.shape, bool((table.sum(axis=2) == 1).all())
    ((20, 4, 3), True)
    """
    return codes(spec).copy()


def drift(spec: Spec, fov: int | None = None) -> npt.NDArray[np.float64]:
    """Return how far each round is shifted along y and x: (rounds, 2), in micrometres.

    A molecule at (y, x) is seen in a round at (y, x) and the shift of that round.

    Raises
    ------
    ValueError
        If the image has another content or no such field of view.

    Examples
    --------
    >>> from synth import Spec
    >>> drift(Spec(4, 3, 5, tile_shape=(256, 256), content="spots"), fov=0)[0]
    array([0., 0.])
    """
    parameters(spec)
    fov = spec.extent(spec.fovs[0] if fov is None else fov).fov
    shifts: npt.NDArray[np.float64] = drifts(spec, fov) * np.array(spec.voxel_size[1:])
    return shifts
