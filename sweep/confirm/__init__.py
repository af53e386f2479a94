"""What is trained after the search: candidates on fresh seeds, pruned trials, the winner."""
