"""Where trials are kept, and who may work on it."""
