"""Rooms that read: plans, structures, doses, DVHs, metrics, voxels, contours."""
