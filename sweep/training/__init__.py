"""What trains trials; knows nothing of Optuna, of terminals or of results."""
