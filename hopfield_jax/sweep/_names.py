"""Names that a sweep keeps for itself."""

STATUS = "point_status"
"""The output that every sweep has."""
MARKS = "finished_blocks"
"""The group of the checksums of blocks."""
RESERVED = ("key", STATUS, MARKS)
"""What neither axes nor outputs are called."""
