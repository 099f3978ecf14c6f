"""A conversion that fails or is killed at any call is finished by the same call, byte for byte.

With HYPOTHESIS_PROFILE=long at every call, with every code; else at some of them.
"""

from __future__ import annotations

import injected_converts
import pytest
from long_mode import LONG
from syscall_faults import server

CODES = ("ENOSPC", "EIO", "EACCES", "EROFS", "EMFILE", "EDQUOT")
FORMATS = ("spacetx", "ome-zarr")


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    with server(tmp_path_factory.mktemp("server")) as give:
        yield give


@pytest.fixture(scope="module", params=FORMATS)
def base(tmp_path_factory, request):
    if request.param == "ome-zarr":
        pytest.importorskip("ome_zarr")
    base = tmp_path_factory.mktemp("data") / request.param
    injected_converts.prepare(request.param, base)
    return base


def some(kind, over):
    """Return how far apart the calls are that are tried."""
    return 1 if LONG else {"spacetx": 11, "ome-zarr": 41}[kind] * (1 + over)


@pytest.mark.parametrize("over", [False, True], ids=["anew", "over another"])
def test_a_call_that_fails_is_told_and_the_conversion_goes_on(warm, base, over):
    kind = base.name
    for codes in [[code] for code in CODES] if LONG else [CODES]:
        report = warm(
            "injected_converts:each_call_fails",
            kind=kind,
            base=base,
            over=over,
            codes=codes,
            step=some(kind, over),
        )
        assert report["problems"] == []
        assert report["faults"] > 6
        # Which calls are tried differs from run to run; up to half of zarr's only look for a file.
        assert report["errors"] > report["faults"] // 10


@pytest.mark.parametrize("over", [False, True], ids=["anew", "over another"])
def test_an_interrupt_leaves_no_half_of_it(warm, base, over):
    kind = base.name
    report = warm(
        "injected_converts:interrupts",
        kind=kind,
        base=base,
        over=over,
        step=some(kind, over) + 1 - LONG,
    )
    assert report["problems"] == []
    assert report["heard"] > 3


@pytest.mark.parametrize("over", [False, True], ids=["anew", "over another"])
def test_a_killed_conversion_is_finished_by_the_same_call(warm, base, over):
    kind = base.name
    number = None if LONG else {"spacetx": 6, "ome-zarr": 4}[kind]
    report = warm(
        "injected_converts:kills",
        kind=kind,
        base=base,
        over=over,
        seed=kind,
        number=number,
    )
    assert report["problems"] == []
    assert report["killed"] >= (number or report["calls"]) * 0.7
