"""Accuracy against cost: methods under rising budgets, their fronts and what they save."""
