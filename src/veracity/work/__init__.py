"""What products share: opening programs, committing, the memory plan, estimates."""
