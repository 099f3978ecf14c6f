"""However large a dataset, a write holds few tiles: under 4 for each worker, and 100 MB."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="the peak is read from /proc/self/status"
)

SIDE = 3072
WRITE = """
import json, sys
import synth
from starfish_fetch.layout import Layout
options = json.loads(sys.argv[2])
image = {name: options.pop(name) for name in ("content", "dtype") if name in options}
zplanes = options.pop("zplanes", 10)
layout = Layout.per_round(".npy" if options.get("format") == "npy" else ".tiff")
spec = synth.Spec(2, 1, zplanes, (SIDE, SIDE), **image)
synth.write(spec, layout, sys.argv[1], **options)
with open("/proc/self/status") as status:
    print(next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM")))
"""


@pytest.mark.parametrize(
    "options",
    [
        {"workers": 1},
        {"workers": 2},
        {"workers": 2, "compression": "zstd", "tiff_tile": [512, 512]},
        {"workers": 2, "format": "npy", "byteorder": ">"},
        {"workers": 1, "content": "index"},
        {"workers": 2, "content": "spots", "zplanes": 1},
    ],
    ids=str,
)
def test_the_peak_is_below_the_bound(tmp_path, options):
    code = WRITE.replace("SIDE", str(SIDE))
    command = [sys.executable, "-c", code, str(tmp_path), json.dumps(options)]
    child = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    tile = SIDE * SIDE * 2
    total = sum(path.stat().st_size for path in tmp_path.iterdir())
    bound = 4 * tile * options["workers"] + 100_000_000
    # That all of a file was held would be seen; spots are computed with 8 bytes for each pixel.
    assert total > 300_000_000 or options["content"] == "spots"
    assert 20_000_000 < int(child.stdout) < bound
