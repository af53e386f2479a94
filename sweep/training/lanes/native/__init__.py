"""Lanes of a chain of layers, trained by a C program made for the chain."""
