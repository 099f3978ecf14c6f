"""Whatever happens to a dataset, in any order: it is whole, or what is wrong with it is known."""

import errno
import shutil
import tempfile
from pathlib import Path

import pytest
from forked_writes import CALLS
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from state_machines import counted, run_machine
from test_synth_kill import pytestmark, warm, whole  # noqa: F401
from test_synth_overwrite import everything

from synth import Dataset

OWN = "dataset.json"
IN_PROGRESS = (".partial", ".new")
CALL = st.sampled_from(sorted(CALLS))
WORKERS = st.sampled_from([1, 1, 2])


class Datasets(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.root = Path(tempfile.mkdtemp(dir=self.folder))
        self.holds = None
        """The call whose dataset is there, complete, though it may be tampered with."""
        self.begun = set()
        """The calls of which something may be there, after a write that was stopped."""
        self.strangers = {}
        self.tampered, self.tampered_call = set(), None

    def teardown(self):
        shutil.rmtree(self.root)

    def there(self):
        """What is in the folder, without the files that are of no dataset."""
        found = everything(self.root)
        for path, data in self.strangers.items():
            assert found[path] == data
            if data is not None:
                del found[path]
        return {path: data for path, data in found.items() if data is not None}

    def written(self, call):
        return {path: data for path, data in self.whole[call][0].items() if data is not None}

    @rule(call=CALL, workers=WORKERS, overwrite=st.booleans())
    @counted
    def write(self, call, workers, overwrite):
        before = self.there()
        report = self.warm(call, self.root, workers, overwrite=overwrite)
        self.ended(call, overwrite, before, report, stopped=False)

    @precondition(lambda self: self.holds or self.begun)
    @rule(workers=WORKERS, data=st.data())
    @counted
    def write_the_same(self, workers, data):
        call = data.draw(st.sampled_from(sorted(self.begun or {self.holds})))
        before = self.there()
        report = self.warm(call, self.root, workers)
        self.ended(call, False, before, report, stopped=False)

    @rule(call=CALL, overwrite=st.booleans(), at=st.floats(0, 1))
    @counted
    def kill(self, call, overwrite, at):
        self.stop(call, overwrite, at)

    @rule(call=CALL, overwrite=st.booleans(), at=st.floats(0, 1))
    @counted
    def interrupt(self, call, overwrite, at):
        before = self.there()
        report = self.stop(call, overwrite, at, signal="SIGINT")
        if report["error"] is not None and report["error"][0] == "KeyboardInterrupt":
            # What a write that was killed had left, only a write that ends takes away.
            new = self.there().keys() - before.keys()
            assert not [path for path in new if path.endswith((".tiff.partial", ".new"))]

    @rule(
        call=CALL,
        overwrite=st.booleans(),
        at=st.floats(0, 1),
        number=st.sampled_from([errno.ENOSPC, errno.EIO]),
    )
    @counted
    def fail(self, call, overwrite, at, number):
        self.stop(call, overwrite, at, errno=number)

    def stop(self, call, overwrite, at, **how):
        # Of one worker, the same moment is the same every time.
        moment = 1 + round(at * (self.whole[call][1] - 1))
        before = self.there()
        report = self.warm(call, self.root, overwrite=overwrite, at=moment, **how)
        stopped = report.get("error") is None or report["error"][0] != "FileExistsError"
        self.ended(call, overwrite, before, report, stopped=stopped)
        return report

    def ended(self, call, overwrite, before, report, *, stopped):
        """Compare what is there after a write with what may be there."""
        after, written = self.there(), self.written(call)
        error = report.get("error")
        if "killed" not in report and error is None:
            self.finished(call, overwrite, before, after)
        elif stopped:
            for path, data in after.items():
                if not path.startswith(OWN) and not path.endswith(IN_PROGRESS):
                    assert data in (before.get(path), written.get(path)), path
            if after != before:
                self.begun |= {call, *([self.holds] if self.holds else [])}
                self.holds = None
        else:
            assert error[0] == "FileExistsError", error
            assert after == before
            assert not overwrite
            assert (self.begun or {self.holds}) - {call}

    def finished(self, call, overwrite, before, after):
        written = self.written(call)
        known = self.begun | ({self.holds} if self.holds else set())
        if not before.keys().isdisjoint({OWN, f"{OWN}.partial"}) and not overwrite:
            assert call in known
        assert after.keys() == written.keys()
        different = {path for path in written if after[path] != written[path]}
        if self.tampered_call != call:
            assert not different
        elif self.holds == call:
            assert different == {path for path in self.tampered if path in before}
        else:
            assert different <= self.tampered
        self.holds, self.begun = call, set()
        self.tampered, self.tampered_call = different, call

    @precondition(lambda self: self.holds and self.there().keys() - {OWN})
    @rule(data=st.data(), how=st.sampled_from(["delete", "delete", "flip", "cut", "append"]))
    @counted
    def damage(self, data, how):
        written = self.written(self.holds)
        path = data.draw(st.sampled_from(sorted(set(self.there()) - {OWN})), label="path")
        place = self.root / path
        content = bytearray(place.read_bytes())
        # Of nuclei the pixels count alone, and not all bytes are pixels.
        if how == "delete" or path.startswith("nuclei"):
            place.unlink()
        else:
            at = data.draw(st.integers(0, max(0, len(content) - 1)), label="at")
            if how == "append":
                content += b"x"
            elif how == "cut":
                del content[at:]
            elif content:
                content[at] ^= 0xFF
            place.write_bytes(content)
        there = self.there()
        self.tampered = {one for one in written if there.get(one) != written[one]}

    @precondition(lambda self: self.holds)
    @rule()
    @counted
    def verify(self):
        dataset = Dataset.open(self.root)
        found = dataset.verify()
        assert {problem.path for problem in found.problems} == self.tampered
        assert found.ok == (not self.tampered)
        on_purpose = {path for one in dataset.damage for path in one.paths}
        assert {problem.path for problem in found.on_purpose} == on_purpose - self.tampered

    @precondition(lambda self: self.holds)
    @rule(data=st.data())
    @counted
    def fetch(self, data):
        dataset = Dataset.open(self.root)
        spec = dataset.spec
        axes = (spec.fovs, spec.rounds, spec.chs, spec.zplanes)
        fov, *key = (data.draw(st.sampled_from(axis)) for axis in axes)
        path = dataset.layout.path(fov, *key)
        on_purpose = {path for one in dataset.damage for path in one.paths}
        with dataset.fetcher(fov) as fetcher:
            if not (self.root / path).exists():
                with pytest.raises(FileNotFoundError):
                    fetcher.get_tile(fov, *key).tile_data()
            elif path not in self.tampered | on_purpose:
                pixels = fetcher.get_tile(fov, *key).tile_data()
                assert (pixels == dataset.tile(*key, fov=fov)).all()

    @precondition(lambda self: len(self.strangers) < 2)
    @rule(folder=st.sampled_from(["", "fov_0/", "mine/"]), name=st.sampled_from("ab"))
    @counted
    def leave_a_file_of_ones_own(self, folder, name):
        path = f"{folder}{name}.txt"
        (self.root / path).parent.mkdir(exist_ok=True)
        (self.root / path).write_bytes(b"mine")
        self.strangers[path] = b"mine"

    @invariant()
    def a_complete_dataset_describes_itself(self):
        self.there()
        if self.holds:
            assert not [path for path in self.there() if path.endswith(IN_PROGRESS)]
            assert Dataset.open(self.root).layout == CALLS[self.holds].args[1]


def test_datasets_are_whole_or_known_not_to_be(warm, whole, tmp_path):  # noqa: F811
    Datasets.warm, Datasets.whole = staticmethod(warm), whole
    Datasets.folder = tmp_path
    run_machine(Datasets)
