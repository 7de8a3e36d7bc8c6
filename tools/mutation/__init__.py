"""Delete one deciding check at a time and see whether a test dies with it."""
