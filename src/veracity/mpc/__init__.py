"""Private inference between an owner of weights, a user with a prompt and an offline dealer."""
