"""Model files as they are on disk: our own reader of GGUF v2 and v3 that reads no weights."""
