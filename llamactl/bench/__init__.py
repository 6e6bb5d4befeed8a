"""Measure, compare, and tell when it got slower: llama-bench's tests with what it leaves out."""
