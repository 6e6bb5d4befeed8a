"""Facts drawn from a capture, a room per mechanism, all on arrays."""
