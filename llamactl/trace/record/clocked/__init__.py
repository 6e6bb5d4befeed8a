"""What is looked at by the clock: memory, scheduling, neighbours, marks."""
