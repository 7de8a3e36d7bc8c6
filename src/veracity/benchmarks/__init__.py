"""Demos and measurements: whole workloads, and local clusters of processes to run them."""
