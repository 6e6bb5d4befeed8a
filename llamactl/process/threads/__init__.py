"""A process's threads: what each is for, where it ran last, what it waits for."""
