"""Disk: what was loaded and read, and for whom."""
