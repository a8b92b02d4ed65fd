"""qzoom as a model of other evaluation harnesses; each is imported where it is installed."""
