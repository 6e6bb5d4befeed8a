"""What `llamactl inspect` shows."""
