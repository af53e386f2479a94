"""What can be said of prepared rows before anything is trained on them."""
