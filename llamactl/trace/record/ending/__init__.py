"""How a recording and its program ended, and what was under way then."""
