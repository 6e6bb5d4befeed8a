"""System calls: how many, how long, what they moved, what they were refused."""
