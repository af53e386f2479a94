"""Many trials as lanes of one stacked model."""
