"""What the model of a table is trained by, and what its trials are compared by."""
