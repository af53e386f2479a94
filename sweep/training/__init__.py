"""What trains trials; knows nothing of Optuna, files or terminals."""
