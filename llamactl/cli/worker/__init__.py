"""`llamactl worker` on the command line."""
