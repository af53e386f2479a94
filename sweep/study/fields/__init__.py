"""What stands in a study file, as values."""
