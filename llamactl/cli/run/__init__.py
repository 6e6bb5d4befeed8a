"""`llamactl run` on the command line."""
