"""Thin drivers of the installed transformers models."""
