"""What the model of a table is trained by, what its trials are compared by, and where."""
