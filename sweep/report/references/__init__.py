"""What the winner is compared with, beside the other trials of its search."""
