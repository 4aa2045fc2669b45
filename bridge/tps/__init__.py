"""Generated code of the contract; see `proto/`."""
