"""Convolutional layers, blocks and networks. The folder can be copied into another project under any name.

It depends on torch alone, and its modules use relative imports.
"""
