"""What `llamactl run` shows beside the text."""
