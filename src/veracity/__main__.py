"""``python -m veracity``: the command line without an installed script."""

from veracity.cli import main

if __name__ == "__main__":
    main()
