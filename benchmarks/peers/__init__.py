"""One image, brought into memory by every library that can: who takes how long.

Run it with ``python -m benchmarks.peers``; what it does is in ``docs/peers.md``.
"""
