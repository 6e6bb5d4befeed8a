"""What `llamactl trace` shows."""
