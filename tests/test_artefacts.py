"""What is uploaded: what a wheel and an sdist hold, that two builds are one, and that they work."""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import pytest

import starfish_fetch

ROOT = Path(__file__).parents[1]
NAME = f"starfish_fetch-{starfish_fetch.__version__}"
PACKAGES = ("starfish_fetch/", "synth/")
# Nothing of these may come along, wherever it lies.
LITTER = [
    ".coverage",
    ".hypothesis/examples/1",
    ".venv/lib/a.py",
    "build/lib/a.py",
    "dist/old.whl",
    "docs/_build/html/index.html",
    "docs/learn/plot_1.rst",
    "docs/reference/generated/a.rst",
    "mutants/a.py",
    "notes.txt",
    "starfish_fetch.egg-info/PKG-INFO",
    "starfish_fetch/__pycache__/load.cpython-311.pyc",
    "synth/.mypy_cache/a.json",
    "tests/.pytest_cache/a",
    "tests/__pycache__/a.cpython-311.pyc",
]


def tracked():
    command = ["git", "-C", str(ROOT), "ls-files", "-z"]
    return [name for name in subprocess.check_output(command, text=True).split("\0") if name]


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def build(clone, mtime, umask):
    """Copy what is tracked, with litter beside it, and build both artefacts from that."""
    old = os.umask(umask)
    try:
        for name in tracked():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, clone / name)
            os.utime(clone / name, (mtime, mtime))
        for name in LITTER:
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            (clone / name).write_text(str(clone))
        subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "--directory", "dist/new"],
            cwd=clone,
            env={**os.environ, "SOURCE_DATE_EPOCH": "1600000000", "PYTHONPATH": ""},
            check=True,
            capture_output=True,
        )
    finally:
        os.umask(old)
    return clone / "dist/new" / f"{NAME}-py3-none-any.whl", clone / "dist/new" / f"{NAME}.tar.gz"


@pytest.fixture(scope="module")
def artefacts(tmp_path_factory):
    pytest.importorskip("hatchling")
    if not (ROOT / ".git").exists():
        pytest.skip("git is asked which files are ours, and this is no clone")
    return build(tmp_path_factory.mktemp("clone"), 1_700_000_000, 0o022)


def test_two_builds_at_two_places_give_the_same_bytes(artefacts, tmp_path):
    again = build(tmp_path / "somewhere" / "else", time.time(), 0o077)
    assert list(map(digest, again)) == list(map(digest, artefacts))


def test_the_wheel_holds_the_packages_and_nothing_else(artefacts):
    wheel, _ = artefacts
    info = f"{NAME}.dist-info"
    files = ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")
    with zipfile.ZipFile(wheel) as archive:
        held = archive.namelist()
    ours = [name for name in tracked() if name.startswith(PACKAGES)]
    assert {"starfish_fetch/py.typed", "starfish_fetch/profile/page/page.css"} < set(ours)
    assert sorted(held) == sorted([*ours, *(f"{info}/{name}" for name in files)])


def test_the_sdist_holds_what_the_tests_need_and_nothing_else(artefacts):
    _, sdist = artefacts
    with tarfile.open(sdist) as archive:
        held = [member.name for member in archive if member.isfile()]
    left_out = (".ci/",)
    ours = [name for name in tracked() if not name.startswith(left_out)]
    assert sorted(held) == sorted(f"{NAME}/{name}" for name in [*ours, "PKG-INFO"])


def test_the_sdist_makes_the_same_wheel(artefacts, tmp_path):
    wheel, sdist = artefacts
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel"],
        cwd=tmp_path / NAME,
        env={**os.environ, "SOURCE_DATE_EPOCH": "1600000000", "PYTHONPATH": ""},
        check=True,
        capture_output=True,
    )
    assert digest(tmp_path / NAME / "dist" / wheel.name) == digest(wheel)


def test_what_the_wheel_holds_works_by_itself(artefacts, tmp_path):
    wheel, _ = artefacts
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")

    def run(*command):
        env = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
        return subprocess.run(
            [sys.executable, *command],
            cwd=tmp_path, env=env, check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip

    where = run(
        "-c", "import starfish_fetch, synth; print(starfish_fetch.__file__, synth.__file__)"
    )
    assert where.split() == [str(tmp_path / "site" / name / "__init__.py")
                             for name in ("starfish_fetch", "synth")]  # fmt: skip
    size = ["--rounds", "2", "--chs", "2", "--zplanes", "2", "--size", "8x9"]
    run("-m", "starfish_fetch", "synth", "write", "data", *size)
    assert "576 of 576 pixels are right" in run("-m", "starfish_fetch", "load", "data", "--verify")
    run("-m", "starfish_fetch", "profile", "data", "--html", "page.html")
    assert "<style>" in (tmp_path / "page.html").read_text(encoding="utf-8")
