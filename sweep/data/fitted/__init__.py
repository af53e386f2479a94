"""What has been learnt from the training rows of a table, for all other rows, new ones too."""
