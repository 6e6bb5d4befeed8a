"""Files: what was opened, what each descriptor was, what is left."""
