"""The capture file: the contract between recording and reporting."""
