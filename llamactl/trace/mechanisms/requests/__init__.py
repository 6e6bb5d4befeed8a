"""Requests: which decodes belong together."""
