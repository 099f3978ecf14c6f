"""Readers given what no writer wrote: targets for a fuzzer, and for a replay without one."""

TARGETS = (
    "tiff", "npy", "verify", "layout", "dataset_json", "profile_json", "report_json",
    "spacetx_json", "ome_zarr",
)  # fmt: skip
