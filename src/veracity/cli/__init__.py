"""The command line: arguments in, text out; every decision is taken in :mod:`veracity.api`."""
