"""Clinical protocols: what a site intends for a disease, as YAML that a dosimetrist can read and change."""

from agent.protocols.loader import LoadedProtocol, Problem, ProtocolError, load, packaged, read
from agent.protocols.schema import Protocol

__all__ = ["LoadedProtocol", "Problem", "Protocol", "ProtocolError", "load", "packaged", "read"]
