"""A study's findings as one HTML page."""
