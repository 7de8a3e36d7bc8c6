"""Circuits: tensors over committed arrays, the relations between them, and their reductions."""
