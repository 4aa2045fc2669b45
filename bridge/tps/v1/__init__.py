"""Package `bridge.tps.v1`, generated from `proto/bridge/tps/v1`; never edited."""
