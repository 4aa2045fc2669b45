"""What stands behind the commands of `bridge.cli`: taking patients in, serving, tables, the contract's files."""


class CommandRefused(Exception):
    """A command cannot be carried out; the message tells the person why, and what to do."""
