"""Threads: what they did, waited for and were pinned to; workers; those that stand."""
