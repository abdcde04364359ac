"""The training loop and its parts.

The loop names no architecture. A recipe names one, and a registry finds it.
"""
