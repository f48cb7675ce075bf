"""Questions and answers that every client of a pushed model must give; `generate.py` makes them."""
