"""Writes the same 5-D image in any file layout, with every pixel known beforehand."""

from synth._damage import Damage
from synth._decode import decode
from synth._decoded import Decoded
from synth._estimate import Estimate, estimate
from synth._manifest import FileRecord, Options
from synth._nuclei import nuclei
from synth._verify import Problem, Verification
from synth.dataset import Dataset
from synth.molecules import codebook, drift, molecules, target_names
from synth.pixels import tile
from synth.spec import Spec
from synth.spots import Spots
from synth.write import write

__all__ = [
    "Damage",
    "Dataset",
    "Decoded",
    "Estimate",
    "FileRecord",
    "Options",
    "Problem",
    "Spec",
    "Spots",
    "Verification",
    "codebook",
    "decode",
    "drift",
    "estimate",
    "molecules",
    "nuclei",
    "target_names",
    "tile",
    "write",
]
