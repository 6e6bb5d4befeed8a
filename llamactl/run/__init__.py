"""One-shot generation: from a request to a report."""
