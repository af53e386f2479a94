"""A schedule as one value, and its four forms: rates, torch scheduler, JSON, code."""
