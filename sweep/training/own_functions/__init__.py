"""Functions of the user's own that are called in training."""
