"""Dose of a fluence: density, radiological depth, lateral maps, and the operator that joins them."""
