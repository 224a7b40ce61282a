"""Names reserved by sweeps."""

STATUS = "point_status"
"""The output that every sweep adds."""
MARKS = "finished_blocks"
"""The Zarr group of block checksums."""
RESERVED = ("key", STATUS, MARKS)
"""Names that axes and outputs must not have."""
