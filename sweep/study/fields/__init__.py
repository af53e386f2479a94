"""How a study file writes values, and what they are read as."""
