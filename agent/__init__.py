"""The planning agent: clinical protocols, the loop, planners, trace and report."""
