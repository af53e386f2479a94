"""The languages that reports are written in."""
