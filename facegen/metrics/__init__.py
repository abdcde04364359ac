"""Distances between sets of features: arrays in, numbers out, float64 inside. No files, no command line."""
