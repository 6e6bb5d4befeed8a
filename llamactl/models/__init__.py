"""Model files: where they are kept, and how they get there. Nothing here loads an inference engine."""
