"""What is worth changing, drawn from the facts of a report."""
