"""``python -m benchmarks.peers``."""

from benchmarks.peers._cli import main

if __name__ == "__main__":
    main(prog_name="python -m benchmarks.peers")
