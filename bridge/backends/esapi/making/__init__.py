"""Rooms that write: copies, plans, helper structures, normalisations, snapshots."""
