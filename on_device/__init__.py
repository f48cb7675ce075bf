"""Runs where the model runs: LiteRT, NumPy and the standard library alone."""

from on_device.errors import ArtifactError
from on_device.recommender import Recommendation, Recommender

__all__ = ["ArtifactError", "Recommendation", "Recommender"]
