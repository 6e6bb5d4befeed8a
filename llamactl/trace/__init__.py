"""What happens: recorders, the capture file and the facts drawn from it."""
