"""Convolutional layers, blocks and networks. The folder can be copied into another project under any name.

It needs torch alone, and its modules import one another relatively.
"""
