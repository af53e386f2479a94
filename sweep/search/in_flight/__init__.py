"""Trials that have been asked for and have not ended: their epochs, and whose they are."""
