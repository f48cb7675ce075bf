"""The web demo: a page that runs a pushed model in the browser. `python -m on_device demo` serves it."""
