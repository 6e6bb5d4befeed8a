"""The GIL, the collector and the event loop."""
