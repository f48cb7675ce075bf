"""Reads ML Metadata: what made a model, and what came of some data. Needs no server, and neither TFX nor TensorFlow."""
