"""Long work: optimising and calculating, with stages while it runs and reasons when it fails."""
