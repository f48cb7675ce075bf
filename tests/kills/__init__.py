"""Kills runs of the pipeline at random moments, and checks that nothing is lost."""
