"""Files that a person asked for, written so that nobody's file is lost: one home for all commands."""
