"""Proved training: a model that came from committed data by a public recipe."""
