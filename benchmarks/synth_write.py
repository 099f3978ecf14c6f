"""Writing a synthetic image."""

from __future__ import annotations

import shutil

import synth
from benchmarks import common


class Write:
    """One image, whole, to files that are not there yet."""

    param_names = ("layout", "storage", "content")
    params = (("per_round", "per_tile"), tuple(common.COMPRESSIONS), ("random", "index"))
    version = "1"
    number = 1
    warmup_time = 0
    repeat = (2, 5, 2.0)
    timeout = 120

    def setup(self, layout: str, storage: str, content: str) -> None:
        """Describe the image."""
        self.spec = synth.Spec(
            rounds=2,
            chs=2,
            zplanes=common.sized(4, 2),
            tile_shape=common.sized((512, 512), (64, 64)),
            content=content,
        )

    @common.labelled(pretty_name="Write a synthetic image")
    def time_write(self, layout: str, storage: str, content: str) -> None:
        """Write it."""
        common.write_image(self.spec, layout, "written", storage)

    @common.labelled(unit="bytes", pretty_name="Size of a synthetic image")
    def track_bytes_on_disk(self, layout: str, storage: str, content: str) -> int:
        """Return the size of all files."""
        written = common.write_image(self.spec, layout, "written", storage)
        return sum(record.bytes for record in written.files.values())

    def teardown(self, layout: str, storage: str, content: str) -> None:
        """Delete what was written."""
        shutil.rmtree("written", ignore_errors=True)
