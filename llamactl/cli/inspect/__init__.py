"""`llamactl inspect` on the command line."""
