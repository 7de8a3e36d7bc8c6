"""How the user gets a token from permuted logits, and the owner nothing.

In ``shuffled`` mode the user sees the logits in an order that only the owner knows, so the place of
the greatest, ``j``, means nothing to the user, and the owner must not learn it. The owner holds the
table ``token[i]``, the token at place ``i``; the user obtains ``token[j]`` and no other entry: a
1-of-V oblivious transfer. :mod:`.transfer` does it with the dealer's pads, :mod:`.homomorphic` with
BFV and no dealer, as PermLLM (arXiv 2405.18744) does.
"""
