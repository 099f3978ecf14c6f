"""What loading costs, measured by asv; see docs/benchmarks.md.

asv imports every module here in environments that have little more than the package itself:
whatever else a module needs, it imports where it needs it.
"""
