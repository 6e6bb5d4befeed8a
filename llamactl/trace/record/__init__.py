"""Recording: sources that run beside a program, and the session that drains them into a capture."""
