"""Weights: where the published ones are, their sha256, and reading a file of them without a pickle."""
