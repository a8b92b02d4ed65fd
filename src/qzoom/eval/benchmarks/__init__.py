"""Benchmarks: their files, prompts and metrics, one file each."""
