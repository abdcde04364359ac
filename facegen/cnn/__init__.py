"""A reusable subpackage of convolutional layers, blocks and networks. It imports torch and nothing else of facegen."""
