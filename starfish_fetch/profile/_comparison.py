"""Whether a fetcher became worse: two profiles of the same image, order by order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from starfish_fetch.axes import Extent, tile_shape_of
from starfish_fetch.profile._ratio import Ratio, fewest_repeats, ratio_of
from starfish_fetch.profile._values import LoadProfile, OrderProfile

__all__ = ["COMPARISON_SCHEMA", "Change", "Comparison", "OrderComparison", "Verdict", "compare"]

COMPARISON_SCHEMA = "starfish-fetch/comparison/1"
"""What the JSON of a comparison calls itself; another number is another format."""

Verdict = Literal[
    "more opens",
    "more requests",
    "more bytes",
    "slower",
    "only before",
    "fewer opens",
    "fewer requests",
    "fewer bytes",
    "faster",
    "more calls",
    "fewer calls",
    "only after",
    "unclear",
    "same",
]
"""What became of an order, in the order in which it matters; the first four are for the worse.

Calls are told and not judged: a fetcher that begins to name its sources is called more often, and
the better for it. ``"unclear"`` is a time that may or may not have changed.
"""

_WORSE: tuple[Verdict, ...] = get_args(Verdict)[:4]


@dataclass(frozen=True)
class Change:
    """A count before and after."""

    name: str
    """``opens``, ``reopens``, ``sources``, ``requests``, ``bytes_read``, ``bytes_received``, or
    ``calls of get_tile`` and so on."""
    before: int
    after: int


@dataclass(frozen=True)
class OrderComparison:
    """What became of one order."""

    order: str
    """Its name, as in :class:`OrderProfile`."""
    verdicts: tuple[Verdict, ...]
    """All that hold, the worst first."""
    message: str
    """The same in words, with numbers."""
    changes: tuple[Change, ...] = ()
    """The counts that are not what they were."""
    ratio: float | None = None
    """Seconds after over seconds before; None where times are not compared."""
    low: float | None = None
    """Lower end of the confidence interval of the ratio; None where the repeats are too few."""
    high: float | None = None
    """Upper end."""

    @property
    def verdict(self) -> Verdict:
        """The worst that holds."""
        return self.verdicts[0]

    @property
    def ok(self) -> bool:
        """Whether nothing is worse than before."""
        return not {*self.verdicts}.intersection(_WORSE)


@dataclass(frozen=True)
class Comparison:
    """What became of every order: what :func:`compare` returns."""

    rows: tuple[OrderComparison, ...]
    """In the order of the profile before; those that are new at the end."""
    confidence: float
    """Of the intervals, from 0 to 1."""
    tolerance: float
    """The relative change of a time that is put down to chance between two runs."""
    times_compared: bool
    """Whether seconds were compared; if not, a note says why."""
    notes: tuple[str, ...] = ()
    """What a reader has to know of the two profiles, in words."""

    @property
    def ok(self) -> bool:
        """Whether no order is worse than before."""
        return all(row.ok for row in self.rows)

    def to_json(self) -> str:
        """Return all of it as JSON, ``"schema": "starfish-fetch/comparison/1"``.

        Every field stands under its name, with ``ok`` beside; each row is an object with
        ``verdict``, ``ok`` and every field of :class:`OrderComparison`. Ratios are of seconds.
        """
        fields = {
            "schema": COMPARISON_SCHEMA,
            "ok": self.ok,
            **vars(self),
            "rows": [
                {
                    **vars(row),
                    "verdict": row.verdict,
                    "ok": row.ok,
                    "changes": [vars(change) for change in row.changes],
                }
                for row in self.rows
            ],
        }
        return json.dumps(fields, indent=1, allow_nan=False)

    def __str__(self) -> str:
        lines = [f"{row.order}: {row.message}" for row in self.rows]
        return "\n".join([*lines, *self.notes])


def compare(
    before: LoadProfile,
    after: LoadProfile,
    *,
    confidence: float = 0.95,
    tolerance: float = 0.05,
) -> Comparison:
    """Say for each order whether it became worse: exactly by counts, statistically by times.

    Opens, bytes and calls are compared as they are. Of the times the ratio, after over before, is
    estimated from all repeats, with a confidence interval (that of Hodges and Lehmann; it assumes
    no distribution). An order is slower if the whole interval lies above ``1 + tolerance``, faster
    if it lies below ``1 / (1 + tolerance)``, the same if it lies between, and else it is not
    clear. That needs repeats: at a confidence of 0.95 at least 4 before and 4 after.

    Times are compared if both profiles are of one kind of machine and both cold or both warm.

    Parameters
    ----------
    before, after : LoadProfile
        Of the same image, or of images with as many labels and tiles of the same shape.
    confidence : float, optional
        Of the interval of each ratio, between 0 and 1. Default: 0.95.
    tolerance : float, optional
        The relative change of a time that is put down to chance: two runs of the same program
        differ by more than the repeats within one run do. Default: 0.05.

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError
        If the images are of different sizes, or confidence or tolerance are no such numbers.

    Examples
    --------
    >>> import tempfile, synth
    >>> from starfish_fetch import Layout, profile_orders
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     data = synth.write(synth.Spec(2, 2, 3, (6, 5)), Layout.per_round(), folder)
    ...     profiles = [
    ...         profile_orders(data.fetcher, data.extent(), ["z,c,r"], repeat=1) for _ in range(2)
    ...     ]
    >>> print(compare(*profiles).rows[0].message)
    2 opens as before; not enough repeats to tell times apart (1 and 1; at least 4 and 4)
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1; got {confidence}")
    if not 0 <= tolerance < float("inf"):
        raise ValueError(f"tolerance must be a number of at least 0; got {tolerance}")
    if _size(before.extent) != _size(after.extent):
        raise ValueError(
            f"these are profiles of different images, {_size(before.extent)} before and "
            f"{_size(after.extent)} after: their counts and times say nothing of each other; "
            "profile the same image twice"
        )
    reasons = tuple(_reasons_against_times(before, after))
    exact = before.exact_counts and after.exact_counts
    judge = _Judge(confidence, tolerance, times=not reasons, counts=exact)
    later = {row.order: row for row in after.rows}
    rows = [judge.row(row, later.pop(row.order, None)) for row in before.rows]
    rows += [
        OrderComparison(row.order, ("only after",), "it was not measured before")
        for row in later.values()
    ]
    notes = [*reasons, *_notes(before, after)]
    if not exact:
        notes.append(
            "Counts depend on how threads met, and are not judged; profile with workers=1 to have "
            "them the same each time."
        )
    return Comparison(tuple(rows), confidence, tolerance, not reasons, tuple(notes))


def _size(extent: Extent) -> str:
    rows, columns = tile_shape_of(extent.tile_shape)
    counts = (len(extent.rounds), len(extent.chs), len(extent.zplanes))
    return "{} rounds, {} channels, {} z-planes of {} x {} pixels".format(*counts, rows, columns)


def _reasons_against_times(before: LoadProfile, after: LoadProfile) -> Iterator[str]:
    if before.extent != after.extent:
        yield "The labels differ, if not their number: counts are compared, and times are not."
    for name in ("system", "processor", "cpus"):
        values = [getattr(profile.machine, name) for profile in (before, after)]
        if values[0] != values[1]:
            yield (
                f"The machines differ ({name} {values[0]!r} before, {values[1]!r} after): counts "
                "are compared, and times are not."
            )
    if before.cold != after.cold:
        words = ("cold" if profile.cold else "warm" for profile in (before, after))
        yield "The files were {} before and {} after: times are not compared.".format(*words)


def _notes(before: LoadProfile, after: LoadProfile) -> Iterator[str]:
    for name in ("fetcher", "workers"):
        values = [getattr(profile, name) for profile in (before, after)]
        if values[0] != values[1]:
            yield f"The profiles differ in {name}: {values[0]!r} before, {values[1]!r} after."
    machines = [
        {"Python": profile.machine.python, **profile.machine.packages}
        for profile in (before, after)
    ]
    for name in dict.fromkeys((*machines[0], *machines[1])):
        versions = [machine.get(name, "none") for machine in machines]
        if versions[0] != versions[1]:
            yield f"{name} was {versions[0]} before, and is {versions[1]} after."


@dataclass(frozen=True)
class _Judge:
    """What became of an order, by the same measure for each."""

    confidence: float
    tolerance: float
    times: bool
    counts: bool

    def row(self, before: OrderProfile, after: OrderProfile | None) -> OrderComparison:
        if after is None:
            return OrderComparison(before.order, ("only before",), "it was not measured after")
        changes = tuple(_changes(before, after))
        verdicts, words = [], [_of_opens(before, after)]
        for change in changes:
            verdict = _verdict_of(change)
            if verdict is not None and (self.counts or "calls" in verdict):
                verdicts.append(verdict)
            if change.name not in ("opens", "reopens", "sources"):
                words.append(f"{change.name} {change.before:,} -> {change.after:,}")
        ratio = Ratio(0, None, None)
        if self.times:
            ratio = ratio_of(before.seconds, after.seconds, self.confidence)
            verdict, text = self._of_times(ratio, len(before.seconds), len(after.seconds))
            verdicts.append(verdict)
            words.append(text)
        known: tuple[Verdict, ...] = get_args(Verdict)
        kept = tuple(one for one in known if one in verdicts and one != "same")
        return OrderComparison(
            before.order,
            kept or ("same",),
            "; ".join(words),
            changes,
            ratio.value if self.times else None,
            ratio.low,
            ratio.high,
        )

    def _of_times(self, ratio: Ratio, before: int, after: int) -> tuple[Verdict, str]:
        if ratio.low is None or ratio.high is None:
            fewest = fewest_repeats(self.confidence)
            return "unclear", (
                f"not enough repeats to tell times apart ({before} and {after}; at least {fewest} "
                f"and {fewest})"
            )
        most = 1 + self.tolerance
        interval = (
            f"{ratio.value:.2f} times the seconds ({ratio.low:.2f} to {ratio.high:.2f} at "
            f"{self.confidence:.0%})"
        )
        if ratio.low > most:
            return "slower", f"slower: {interval}"
        if ratio.high < 1 / most:
            return "faster", f"faster: {interval}"
        if 1 / most <= ratio.low and ratio.high <= most:
            return "same", f"as fast as before: {interval}"
        return "unclear", f"not clear whether faster or slower: {interval}"


def _changes(before: OrderProfile, after: OrderProfile) -> Iterator[Change]:
    for name in ("opens", "reopens", "sources", "requests", "bytes_read", "bytes_received"):
        values = getattr(before, name), getattr(after, name)
        if None not in values and values[0] != values[1]:
            yield Change(name, *values)
    for name in sorted({*before.calls, *after.calls}):
        counts = before.calls.get(name, 0), after.calls.get(name, 0)
        if counts[0] != counts[1]:
            yield Change(f"calls of {name}", *counts)


def _verdict_of(change: Change) -> Verdict | None:
    more = change.after > change.before
    if change.name == "opens":
        return "more opens" if more else "fewer opens"
    if change.name == "requests":
        return "more requests" if more else "fewer requests"
    if change.name in ("bytes_read", "bytes_received"):
        return "more bytes" if more else "fewer bytes"
    if change.name.startswith("calls"):
        return "more calls" if more else "fewer calls"
    return None


def _of_opens(before: OrderProfile, after: OrderProfile) -> str:
    if before.opens == after.opens:
        return f"{before.opens:,} opens as before"
    return f"opens {before.opens:,} -> {after.opens:,}"
