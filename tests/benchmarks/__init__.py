"""Benchmarks on demand; never part of a test run."""
