"""Performance: plan, measure, compare, gate."""
