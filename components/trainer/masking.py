"""The value that keeps something from ever winning, and the index where nothing has won."""

# Far below any score, and exact in float16, in which constants of a converted model may be stored.
FORBIDDEN = -30_000.0
NO_ITEM = -1  # where fewer items remain than are listed
