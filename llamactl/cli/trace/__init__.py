"""`llamactl trace` on the command line."""
