"""Distances between sets of features.

Every function takes arrays, computes in float64 and returns numbers. Nothing here reads files or knows the command
line.
"""
