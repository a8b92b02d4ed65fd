"""Metrics of benchmarks, as each harness computes them and as one would expect, one file each."""
