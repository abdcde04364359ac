"""Generators, discriminators, losses and penalties, built from ``facegen.cnn``. They know no training loop."""
