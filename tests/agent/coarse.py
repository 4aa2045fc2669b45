"""What tests of preparation and loop share: a coarse protocol for the TG-119 phantom, and a TPS that can do less."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from bridge import model
from bridge.backends.simulator import Simulator

COARSE = """\
id: coarse
title: TG-119 on coarse grids, so that tests are quick
site: phantom
intended_use: for tests
prescription: {fractions: 25, targets_gy: {OuterTarget: 50}}
normalise: {structure: OuterTarget, volume_percent: 95, dose_gy: 50}
plan:
  beamlet_mm: 15
  dose_grid_mm: 8
  optimization_grid_mm: 10
  beams: [{gantry_deg: [0, 120, 240]}]
structures:
  OuterTarget: {required: true, kind: target, aliases: [PTV]}
  BODY: {required: true, kind: external, aliases: [External]}
  Core: {}
  Liver: {}
helpers:
  zRing: {ring: targets, from_mm: 3, to_mm: 12}
  zNothing: {keep: Core, without: [BODY]}
goals:
  - {structure: OuterTarget, goal: "D95%[Gy] >= 50", rank: 1}
  - {structure: Core, goal: "D10%[Gy] <= 25", rank: 2}
  - {structure: Core, goal: "D10%[Gy] <= 5", rank: 3}
  - {structure: Liver, goal: "Mean[Gy] <= 13", rank: 1}
report:
  - {structure: OuterTarget, metric: HI ICRU83}
objectives:
  - {structure: OuterTarget, type: lower, dose_gy: 50.5, volume_percent: 99, priority: 300}
  - {structure: Core, type: upper, dose_gy: 20, volume_percent: 0, priority: 50}
  - {structure: zRing, type: upper, dose_gy: 46, volume_percent: 0, priority: 40}
  - {structure: BODY, type: upper, dose_gy: 54, volume_percent: 0, priority: 900}
"""


class Limited(Simulator):
    """The simulated TPS declaring fewer or other capabilities, as a clinical one would."""

    def __init__(self, data_dir: Path, *, without: tuple[str, ...], instead: Mapping[str, str] | None = None) -> None:
        super().__init__(data_dir)
        self._without = without
        self._instead = dict(instead or {})

    def info(self) -> model.ServerInfo:
        info = super().info()
        left = {key: value for key, value in info.capabilities.items() if key not in self._without}
        return replace(info, capabilities={**left, **self._instead})
