"""The web demo: a page that runs the pushed file in the browser. `python -m on_device demo` serves it."""
