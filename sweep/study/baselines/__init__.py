"""Schedules that a user trains with at present, to compare with."""
