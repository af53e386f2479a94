"""What a model is made of, and what it makes of its input."""
