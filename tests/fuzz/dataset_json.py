"""synth.Dataset.open, of a dataset.json."""

import random
import tempfile
from pathlib import Path

from starfish_fetch import Layout
from synth import Dataset, Spec, Spots, write

from ._json import mutate_json
from ._target import Finding, Target, refused


class DatasetJson(Target):
    """The description of a dataset."""

    name = "dataset_json"

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._path = Path(self._folder.name, "dataset.json")

    def seeds(self) -> list[bytes]:
        specs = [
            Spec([1, 4], [0, 2], [-1, 5], (8, 9), fovs=[0, 3], content="index"),
            Spec(3, 2, 1, (16, 16), content="spots", spots=Spots(targets=["a", "b"])),
        ]
        layouts = [Layout("fov{fov}/r{r:02d}.tiff", inner="zc"), Layout.per_tile()]
        seeds = []
        for spec, layout in zip(specs, layouts, strict=True):
            with tempfile.TemporaryDirectory() as root:
                write(spec, layout, root, damage=["swapped", "truncated"])
                seeds.append(Path(root, "dataset.json").read_bytes())
        return seeds

    def read(self, data: bytes) -> Dataset | None:
        self._path.write_bytes(data)
        try:
            dataset = Dataset.open(self._folder.name)
        except ValueError as error:
            refused(error, str(self._path))
            return None
        repr(dataset)
        return dataset

    def check(self, found: Dataset) -> None:
        for path in found.files:
            if not (found.root / path).resolve().is_relative_to(found.root.resolve()):
                raise Finding(f"{path!r} leads out of the folder")
        self._path.write_text(found._manifest.text())
        if Dataset.open(self._folder.name) != found:
            raise Finding("what is read and written is another dataset")

    def mutate(self, data: bytes, chance: random.Random) -> bytes:
        return mutate_json(data, chance)


TARGET = DatasetJson
