"""Boxes, grids, heat maps and positions: pure functions, no model code."""
