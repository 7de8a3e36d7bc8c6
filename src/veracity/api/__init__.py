"""The public face of the package: what the command line and Python callers use."""
