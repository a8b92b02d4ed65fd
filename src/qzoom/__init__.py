"""Question-driven zoom for vision-language models."""
