"""Memory: page faults, growth, counters."""
