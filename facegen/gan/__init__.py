"""Generators, discriminators and losses, built from ``facegen.cnn``. Nothing here knows a training loop."""
