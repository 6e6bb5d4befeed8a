"""What a call costs through each kind of binding."""
