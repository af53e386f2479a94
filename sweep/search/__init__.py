"""Everything that speaks to Optuna."""
