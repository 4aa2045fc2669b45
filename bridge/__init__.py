"""The contract between a planning agent and a treatment planning system: model, server, client, backends."""

INTENDED_USE = "For research. Not for clinical use without the site's own commissioning."
SPEC_VERSION = "1.0.0"
