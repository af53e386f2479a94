"""A study's findings in optuna-dashboard."""
