"""Every broken fetcher is caught by the check that should, and no correct one is blamed."""

from pathlib import Path

import numpy as np
import pytest
from zoo._verdict import judge
from zoo.broken import BROKEN
from zoo.correct import CORRECT

from starfish_fetch import ImageStack
from starfish_fetch.testing import CHECKS

# Files are left open, threads left running and errors ignored here on purpose.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("name", BROKEN)
def test_broken_fetcher_is_caught_by_its_check_alone(name):
    assert judge(name, oracle=True).problems == ()


@pytest.mark.parametrize("name", BROKEN)
def test_broken_fetcher_without_oracle_is_caught_where_it_can_be(name):
    assert judge(name, oracle=False).problems == ()


@pytest.mark.parametrize("name", CORRECT)
@pytest.mark.parametrize("oracle", [True, False], ids=["oracle", "blind"])
def test_correct_fetcher_is_not_blamed(name, oracle):
    assert judge(name, oracle).problems == ()


@pytest.mark.parametrize("name", CORRECT)
def test_correct_fetcher_loads_what_its_oracle_says(name):
    entry = CORRECT[name]
    extent, oracle = entry.extent, entry.oracle
    fov = {"fov": extent.fov} if hasattr(oracle, "tile") else {}
    expected = getattr(oracle, "tile", oracle)
    pixels = ImageStack.from_tilefetcher(entry.make(), **vars(extent), dtype=None).to_numpy()
    for index in np.ndindex(pixels.shape[:3]):
        labels = (labels[i] for labels, i in zip(planes(extent), index, strict=True))
        np.testing.assert_array_equal(pixels[index], expected(*labels, **fov))


def planes(extent):
    return extent.rounds, extent.chs, extent.zplanes


def test_entries_name_checks_that_there_are():
    for entry in BROKEN.values():
        assert entry.accepted <= set(CHECKS), entry.name


@pytest.mark.parametrize("check", CHECKS)
def test_no_check_is_there_that_cannot_fail(check):
    for name, entry in BROKEN.items():
        if check in entry.by and check in judge(name, oracle=True).caught:
            return
        # What names of files tell is of use to those who have no oracle.
        if check in (entry.blind or ()) and check in judge(name, oracle=False).caught:
            return
    pytest.fail(f"no broken fetcher is there for {check}")


def test_few_sins_need_an_oracle():
    assert len(BROKEN) >= 55
    assert len(CORRECT) >= 30
    assert sum(entry.blind is None for entry in BROKEN.values()) <= len(BROKEN) / 10


@pytest.mark.parametrize("name", ["MapsFilesWritable", "MapsFilesCopyOnWrite"])
def test_checks_leave_files_as_they_were(name):
    image = BROKEN[name].image
    before = Path(image.npy).read_bytes()
    judge(name, oracle=True)
    assert Path(image.npy).read_bytes() == before
    np.testing.assert_array_equal(np.load(image.npy), image.array)
