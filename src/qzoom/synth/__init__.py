"""Procedural pictures with exact questions, answers and answer boxes."""
