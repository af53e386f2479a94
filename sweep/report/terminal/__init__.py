"""A study's findings for a terminal."""
