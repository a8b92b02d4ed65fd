"""Ways of answering that an evaluation compares: qzoom's own, and its rivals, one file each."""
