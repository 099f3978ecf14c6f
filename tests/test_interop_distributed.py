"""A lazy image on a cluster of processes: the same pixels, each file opened by one task."""

import threading
from collections import Counter

import distributed
import numpy as np
import pytest
import xarray as xr
from fetchers import image
from slow_fetchers import KillsItsProcess, OneFile

import synth
from starfish_fetch import Extent, Layout, to_dask

pytestmark = pytest.mark.filterwarnings("ignore")

PIXELS = image((3, 4, 5, 8, 7))
EXTENT = Extent({"y": 8, "x": 7}, 0, range(3), range(4), range(5))


@pytest.fixture(scope="module")
def client():
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=2,
            processes=True,
            memory_limit=0,
            dashboard_address=None,
            silence_logs=50,
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def folder(tmp_path):
    for r, c in np.ndindex(3, 4):
        np.save(tmp_path / f"r{r}_c{c}.npy", PIXELS[r, c])
    return tmp_path


def test_each_file_is_opened_by_one_task_of_one_worker(client, folder):
    fetcher = OneFile(folder, EXTENT)
    array = to_dask(fetcher, EXTENT, dtype=np.uint16)
    assert array.numblocks == (3, 4, 1, 1, 1)
    np.testing.assert_array_equal(array.compute(), PIXELS)
    opens = fetcher.log()
    assert Counter(stem for _, stem in opens) == {f"r{r}_c{c}": 1 for r, c in np.ndindex(3, 4)}
    assert len({process for process, _ in opens}) == 2
    labelled = to_dask(fetcher, EXTENT, dtype=np.uint16, xarray=True)
    np.testing.assert_array_equal(labelled.max("z").compute(), PIXELS.max(axis=2))


def test_a_worker_that_is_killed_is_replaced_and_its_work_done_again(client, folder):
    fetcher = KillsItsProcess(folder, EXTENT)
    array = to_dask(fetcher, EXTENT, dtype=np.uint16)
    np.testing.assert_array_equal(array.compute(), PIXELS)
    assert (folder / "killed").exists()
    opened = Counter(stem for _, stem in fetcher.log())
    assert opened["r1_c1"] == 2
    # What the dead worker had read is read again, and nothing a third time.
    assert set(opened) == {f"r{r}_c{c}" for r, c in np.ndindex(3, 4)}
    assert set(opened.values()) <= {1, 2}


def test_a_fetcher_that_cannot_be_sent_says_what_to_do(client, folder):
    fetcher = OneFile(folder, EXTENT)
    fetcher.lock = threading.Lock()
    array = to_dask(fetcher, EXTENT)
    with pytest.raises(TypeError, match="erializ") as caught:
        array.compute()
    told, error = "", caught.value
    while error is not None:
        told, error = f"{told}\n{error}", error.__cause__ or error.__context__
    assert "OneFile cannot be sent to another process" in told
    assert "or compute with scheduler='threads'" in told


def test_the_engine_of_xarray_runs_on_the_cluster(client, tmp_path):
    spec = synth.Spec(2, 2, 3, tile_shape=(16, 11), fovs=2)
    synth.write(spec, Layout("fov{fov}_r{r}_c{c}.tiff", inner="z"), tmp_path)
    with xr.open_dataset(
        tmp_path / "dataset.json", engine="starfish-fetch", dtype=None, chunks={}
    ) as opened:
        found = opened.image.max("z").compute()
    for fov, r, c in np.ndindex(2, 2, 2):
        wanted = np.max([synth.tile(spec, fov, r, c, z) for z in range(3)], axis=0)
        np.testing.assert_array_equal(found.sel(fov=fov, r=r, c=c), wanted)
