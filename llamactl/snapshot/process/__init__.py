"""What one process is right now, read from /proc. The process is never stopped."""
