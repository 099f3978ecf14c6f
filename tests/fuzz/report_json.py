"""Report.from_json, and Breakeven.from_json."""

import json
import random

from starfish_fetch import Extent
from starfish_fetch.profile import Breakeven, OrderBreakeven
from starfish_fetch.testing import Report, Result

from ._json import mutate_json
from ._target import Finding, Target, refused


class ReportJson(Target):
    """A report of checks, or of a conversion, that was stored."""

    name = "report_json"

    def seeds(self) -> list[bytes]:
        extent = Extent({"y": 8, "x": 8}, fov=0, rounds=[0, 1], chs=[0], zplanes=[0])
        results = (
            Result("tiles_repeat", "C5", "pass"),
            Result("unknown_labels_are_refused", "C10", "fail", "round 2 gave pixels.", "Raise."),
        )
        report = Report(
            results, extent, tiles_read=2, tiles_in_extent=2, has_oracle=True, seed=0, seconds=0.3
        )
        rows = (OrderBreakeven("z,c,r", 2.0, 0.5, 4), OrderBreakeven("none", 2.0, 3, float("inf")))
        breakeven = Breakeven("spacetx", 5.1, None, 1000, 5, rows)
        return [report.to_json().encode(), breakeven.to_json().encode()]

    def found(self) -> list[bytes]:
        report, seed = self.seeds()
        labels = json.loads(report)
        labels["extent"]["chs"] = [0] * 3000
        return [
            json.dumps(labels).encode(),
            b'"starfish-fetch/check/1"',
            b'"starfish-fetch/breakeven/1"',
            seed.replace(b"5.1", b"9" * 400),
            seed.replace(b"1000", b"9" * 400),
            seed.replace(b'"z,c,r"', b"1"),
        ]

    def read(self, data: bytes) -> Report | Breakeven | None:
        found: list[Report | Breakeven] = []
        for kind, words in ((Report, "this is no"), (Breakeven, "this is no break-even")):
            try:
                found.append(kind.from_json(data))
            except ValueError as error:
                refused(error, words)
        if len(found) > 1:
            raise Finding("it is two things at once")
        for one in found:
            str(one)
            return one
        return None

    def check(self, found: Report | Breakeven) -> None:
        if type(found).from_json(found.to_json()) != found:
            raise Finding("what is read and written is another report")

    def mutate(self, data: bytes, chance: random.Random) -> bytes:
        return mutate_json(data, chance)


TARGET = ReportJson
