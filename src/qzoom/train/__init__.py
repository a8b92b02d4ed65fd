"""Training: recipes, stages and the loop that runs them."""
