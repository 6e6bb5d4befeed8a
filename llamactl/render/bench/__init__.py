"""What `llamactl bench` shows."""
