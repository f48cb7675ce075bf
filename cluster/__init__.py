"""Compiles, submits and manages the pipeline on a cluster; the entry point of each container."""
