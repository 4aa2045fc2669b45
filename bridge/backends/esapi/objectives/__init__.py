"""Objectives that cannot be edited and have no names, behind names that last."""
