"""`python -m qzoom.cli`, for places where the console script is not on the path."""

import sys

from qzoom.cli import main

if __name__ == "__main__":
    sys.exit(main())
