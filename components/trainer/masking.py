"""The value that keeps something from ever winning."""

# Far below any score, and exact in float16, in which constants of a converted model may be stored.
FORBIDDEN = -30_000.0
