"""Labels made by the model itself: where it looked, which answers held, what a crop would fix."""
