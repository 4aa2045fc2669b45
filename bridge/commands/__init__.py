"""What stands behind the commands of `bridge.cli`: taking patients in, serving, tables, the contract's files."""
