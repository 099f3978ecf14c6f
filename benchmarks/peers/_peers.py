"""Every peer, in the order in which they take turns."""

from benchmarks.peers._bioio import Bioio
from benchmarks.peers._dask import DaskArrayImage, DaskImage
from benchmarks.peers._limit import Limit
from benchmarks.peers._ours import Ours, OursOneFile
from benchmarks.peers._peer import Peer
from benchmarks.peers._pims import Pims
from benchmarks.peers._starfish import Starfish, StarfishOneFile
from benchmarks.peers._tifffile import Tifffile, TifffileConverting
from benchmarks.peers._zarr import Zarr

__all__ = ["PEERS"]

PEERS: tuple[type[Peer], ...] = (
    Limit,
    Ours,
    OursOneFile,
    Starfish,
    StarfishOneFile,
    Tifffile,
    TifffileConverting,
    DaskImage,
    DaskArrayImage,
    Bioio,
    Pims,
    Zarr,
)
