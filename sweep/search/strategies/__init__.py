"""Samplers and pruners: Optuna's by name, and our own."""
