"""The sentences of the report's rows, a file per mechanism or two that belong together."""
