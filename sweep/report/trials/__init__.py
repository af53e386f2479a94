"""What a report says of single trials."""
