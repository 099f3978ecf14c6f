"""The core stays light, and what is missing names the extra that has it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import starfish_fetch
from starfish_fetch import ImageStack, MissingExtraError

HEAVY = ["tifffile", "imageio", "xarray", "pandas", "starfish", "skimage", "matplotlib", "rich",
         "click"]  # fmt: skip


def run(script):
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout


def test_importing_loads_nothing_that_is_not_used():
    heavy = ["numpy", *HEAVY]
    loaded = run(f"import sys, starfish_fetch; print([n for n in {heavy} if n in sys.modules])")
    assert loaded == "[]\n"


def test_a_stack_from_memory_needs_numpy_alone():
    loaded = run(
        "import sys, numpy\n"
        "from starfish_fetch import ImageStack\n"
        "ImageStack.from_numpy(numpy.zeros((1, 1, 1, 2, 2), 'f4')).sel({'y': 0})\n"
        f"print([n for n in {HEAVY} if n in sys.modules])"
    )
    assert loaded == "[]\n"


def test_everything_public_is_there():
    assert sorted(starfish_fetch.__all__) == starfish_fetch.__all__
    assert dir(starfish_fetch) == starfish_fetch.__all__
    for name in starfish_fetch.__all__:
        assert getattr(starfish_fetch, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'ImageStacks'"):
        _ = starfish_fetch.ImageStacks


@pytest.mark.parametrize(
    ("module", "extra", "use"),
    [
        ("xarray", "xarray", lambda stack: stack.xarray),
        ("pandas", "xarray", lambda stack: stack.tile_metadata),
        ("starfish", "starfish", lambda stack: stack.to_starfish()),
    ],
)
def test_a_missing_package_names_the_extra(monkeypatch, module, extra, use):
    stack = ImageStack.from_numpy(np.zeros((1, 1, 1, 2, 2), np.float32))
    monkeypatch.setitem(sys.modules, module, None)
    message = rf"needs {module}: pip install 'starfish-fetch\[{extra}\]'"
    with pytest.raises(MissingExtraError, match=message):
        use(stack)


def test_a_missing_progress_bar_names_the_extra(monkeypatch):
    from fetchers import ArrayFetcher, arguments, image

    for name in ("rich.console", "rich.progress"):
        monkeypatch.setitem(sys.modules, name, None)
    stack = ImageStack.from_tilefetcher(**arguments(ArrayFetcher(image())), progress=True)
    with pytest.raises(MissingExtraError, match=r"starfish-fetch\[cli\]"):
        stack.load()


def test_public_names_are_not_hidden_by_modules_of_the_same_name():
    modules = {path.stem for path in Path(starfish_fetch.__file__).parent.glob("*.py")}
    assert not modules & set(starfish_fetch.__all__)
