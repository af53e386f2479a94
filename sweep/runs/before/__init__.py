"""What comes before a run: would it fail, how long will it take, which rates, which file."""
