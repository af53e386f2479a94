"""What a study found, as facts, tables and drawings; nothing here prints."""
