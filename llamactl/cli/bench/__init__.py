"""`llamactl bench` on the command line."""
