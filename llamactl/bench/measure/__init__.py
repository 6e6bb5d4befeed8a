"""What is measured beside the time, and on what."""
