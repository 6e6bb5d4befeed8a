"""Slow tokens and slow starts: what each waited for."""
