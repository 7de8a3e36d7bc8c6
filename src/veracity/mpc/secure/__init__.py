"""Mode ``secure``: nothing but the answer is revealed, and that to the user alone."""
