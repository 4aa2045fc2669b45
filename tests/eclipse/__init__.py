"""The adapter for Eclipse against an emulation of ESAPI that behaves: in processes of their own, over gRPC."""
