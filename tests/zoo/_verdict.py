"""Whether the checks say of a fetcher what its entry in the zoo says of it."""

import gc
import traceback
from dataclasses import dataclass
from functools import cache

from starfish_fetch.testing import Report, check_fetcher

from ._entry import Entry
from .broken import BROKEN, give_back
from .correct import CORRECT

__all__ = ["Verdict", "judge"]


@dataclass(frozen=True)
class Verdict:
    """What the checks said of one fetcher, with or without an oracle."""

    entry: Entry
    report: Report
    broken: bool
    crash: str = ""
    """What the checks themselves raised."""

    @property
    def caught(self) -> tuple[str, ...]:
        """Checks that found what is to be found."""
        if not self.broken:
            return ()
        entry, blind = self.entry, not self.report.has_oracle
        names = entry.by if not blind or entry.blind is None else entry.blind
        enough = ("fail", "warn") if blind or entry.warns else ("fail",)
        return tuple(result.check for result in self.report.of(*enough) if result.check in names)

    @property
    def wrong(self) -> tuple[str, ...]:
        """Checks that failed and should not have."""
        return tuple(
            result.check
            for result in self.report.of("fail")
            if result.check not in self.entry.accepted
        )

    @property
    def suspicions(self) -> tuple[str, ...]:
        """Checks that warn of a correct fetcher."""
        return () if self.broken else tuple(result.check for result in self.report.of("warn"))

    @property
    def due(self) -> bool:
        """Whether it has to be found."""
        return self.broken and (self.report.has_oracle or self.entry.blind is not None)

    @property
    def problems(self) -> tuple[str, ...]:
        """In what it is not as the entry says."""
        if self.crash:
            return (f"the checks raised {self.crash}",)
        found = [f"wrongly fails {name}: {self.report[name].message}" for name in self.wrong]
        if self.due and not self.caught:
            expected = self.entry.by if self.report.has_oracle else self.entry.blind
            said = [str(result) for result in self.report.of("fail", "warn")]
            found.append(f"not caught by any of {sorted(expected)}; said was {said}")
        return tuple(found)


@cache
def judge(name: str, oracle: bool) -> Verdict:
    """Check a fetcher of the zoo, once in a process."""
    broken = name in BROKEN
    entry = BROKEN[name] if broken else CORRECT[name]
    crash = ""
    # Whatever a fetcher reads is there before the checks look for files that it leaves.
    for file in ("root", "raw", "npy"):
        getattr(entry.image, file, None)
    try:
        report = check_fetcher(
            entry.make,
            entry.extent,
            entry.oracle if oracle else None,
            deadline=entry.deadline,
        )
    except Exception as error:
        # That of the others is worth knowing all the same.
        crash = "".join(traceback.format_exception(error))
        report = Report((), entry.extent, 0, 0, oracle, 0, 0.0)
    finally:
        give_back()
        # Whatever else a fetcher has left open goes now, and not in the middle of the next.
        gc.collect(1)
    return Verdict(entry, report, broken, crash)
