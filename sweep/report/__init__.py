"""What a study found, as facts, figures, tables and pages; nothing here prints."""
