"""Questions that every client of a pushed model must answer in the same way; `generate.py` writes them."""
