"""The training loop and what it is made of. It names no architecture: a recipe does, and a registry finds it."""
