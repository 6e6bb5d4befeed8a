"""Mappings: what lies where, of which file."""
