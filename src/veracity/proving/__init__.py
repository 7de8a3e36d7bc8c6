"""Proved inference: answer and prove, verify, inspect."""
