"""The three roles as services over sockets: dealer, owner of the weights, user with the prompt."""
