"""GPU: what a program asked its devices."""
