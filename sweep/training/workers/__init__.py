"""Engines in processes of their own, and who keeps them busy."""
