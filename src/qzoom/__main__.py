"""`python -m qzoom` is `qzoom`."""

import sys

from qzoom.cli import main

sys.exit(main())
