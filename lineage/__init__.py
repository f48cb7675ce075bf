"""Reads the lineage of models and data from ML Metadata. Needs no server, and neither TFX nor TensorFlow."""
