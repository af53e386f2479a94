"""A trained model in a file, with all that it takes to predict with it."""
