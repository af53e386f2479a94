"""From a table to prepared rows."""
