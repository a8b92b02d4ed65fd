"""Speed of the engine against plain transformers, on random weights of real shapes."""
