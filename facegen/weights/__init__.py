"""Pretrained weights: where to get them, how to check them, and how to read them without pickle."""
