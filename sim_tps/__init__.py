"""A small treatment planning system that can be used alone: patients, dose, optimisation, plan indices."""
