"""Leaf sequencing: from fluence to the control points a linac delivers, and back to the fluence they let through."""
