"""Fuzz a reader: ``python -m tests.fuzz tiff -runs=100000``, with what ``fuzz`` installs."""

import argparse
import importlib
import random
import sys
import tempfile
import tracemalloc
from pathlib import Path

from . import TARGETS

_FUZZED = ["starfish_fetch", "synth"]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--corpus", type=Path, metavar="FOLDER", help="where finds are kept")
    options, others = parser.parse_known_args()
    import atheris

    with atheris.instrument_imports(include=_FUZZED, enable_loader_override=False):
        module = importlib.import_module(f"{__package__}.{options.target}")
        target = module.TARGET()
        folder = options.corpus or Path(tempfile.mkdtemp())
        folder.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(target.seeds()):
            target.one(seed)  # some modules are imported only now
            (folder / f"seed-{number}").write_bytes(seed)

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        chance = random.Random(seed)
        if chance.random() < 0.4:
            return atheris.Mutate(data, most)
        return target.mutate(data, chance)[:most]

    tracemalloc.start()
    arguments = [sys.argv[0], "-timeout=5", f"-max_len={target.longest}", *others, str(folder)]
    atheris.Setup(arguments, lambda data: (target.one(data), 0)[1], custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
