"""Zero-knowledge proofs that an answer came from a committed language model."""
