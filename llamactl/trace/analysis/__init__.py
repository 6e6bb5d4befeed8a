"""Facts drawn from a capture, one file per subject, all on arrays."""
