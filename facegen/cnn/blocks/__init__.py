"""Blocks: a few layers that networks repeat."""
