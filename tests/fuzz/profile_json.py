"""LoadProfile.from_json."""

import random

from starfish_fetch import Extent, LoadProfile
from starfish_fetch.profile import Machine, OrderProfile

from ._json import mutate_json
from ._target import Finding, Target, refused


class ProfileJson(Target):
    """A profile that was stored."""

    name = "profile_json"

    def seeds(self) -> list[bytes]:
        rows = tuple(
            OrderProfile(
                order, (0.2, 0.25), opens, opens - 2, 2, size, {"get_tile": 4}, 0.001, 0.2, 0, 0,
                4096, predicted, (0, 0, 1, None), (1, 0, 1, 0),
            )
            for order, opens, size, predicted in (
                ("r,c,z", 2, 640, None),
                ("c,r,z", 4, None, {1: 4, None: 2}),
            )
        )  # fmt: skip
        extent = Extent({"y": 4, "x": 6}, fov=0, rounds=[0, 1], chs=[0, 1], zplanes=[0])
        machine = Machine(2, "Linux x86_64", "", "3.11.9", {"numpy": "2.1.0"})
        some = LoadProfile(
            rows, extent, 2, False, None, "MyFetcher", machine, None, ("a", "b"), "named"
        )
        return [some.to_json().encode()]

    def found(self) -> list[bytes]:
        (seed,) = self.seeds()
        return [
            b'"starfish-fetch/profile/1"',
            seed.replace(b"0.25", b"9" * 400),
            seed.replace(b'"r,c,z"', b'"r,,c,z"'),
        ]

    def read(self, data: bytes) -> LoadProfile | None:
        try:
            profile = LoadProfile.from_json(data)
        except ValueError as error:
            refused(error, "this is no profile of a load")
            return None
        str(profile)
        return profile

    def check(self, found: LoadProfile) -> None:
        if LoadProfile.from_json(found.to_json()) != found:
            raise Finding("what is read and written is another profile")
        for row in found.rows:
            if row.group_by is not None and ",".join(row.group_by) != row.order:
                raise Finding(f"{row.order!r} is no order")

    def mutate(self, data: bytes, chance: random.Random) -> bytes:
        return mutate_json(data, chance)


TARGET = ProfileJson
