"""What a study file can name: a file for each kind, and in it an entry for each name."""
