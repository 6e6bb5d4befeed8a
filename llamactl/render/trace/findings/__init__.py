"""Findings as sentences, one file per subject."""
