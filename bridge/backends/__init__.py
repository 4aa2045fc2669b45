"""Adapters: one TPS each behind the backend protocol."""
