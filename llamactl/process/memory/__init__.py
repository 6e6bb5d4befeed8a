"""A process's mappings: where they are, of which file, and what for."""
