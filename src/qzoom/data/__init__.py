"""Training data: one record schema, readers of published layouts, checks and safe conversion."""
