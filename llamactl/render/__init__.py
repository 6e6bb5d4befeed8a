"""Facts into characters: text, tables, JSON."""
