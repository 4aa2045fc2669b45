"""The simulated TPS behind the contract."""

from bridge.backends.simulator.backend import Simulator

__all__ = ["Simulator"]
