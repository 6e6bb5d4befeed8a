"""What is measured: the timed parts of each test."""
