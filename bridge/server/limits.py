"""What the schema allows and this server does not: its limits, its priority scale, what it never declared.

The one idea: every method here looks at one thing of the model and raises before the TPS is asked. Beyond a number of
the server: LIMIT_EXCEEDED with the limit. Not declared: CAPABILITY_MISSING with the capability.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bridge import model
from bridge.errors import CapabilityMissing, FieldViolation, InvalidField, LimitExceeded

FUNCTION_CAPABILITY: Mapping[type, str] = {
    model.DoseVolumePoint: "objective.dose-volume",
    model.MaxDose: "objective.max-dose",
    model.MinDose: "objective.min-dose",
    model.MeanDose: "objective.mean",
    model.Geud: "objective.geud",
    model.UniformDose: "objective.uniform",
    model.DoseFallOff: "objective.falloff",
    model.NormalTissueFalloff: "objective.normal-tissue",
    model.HotFraction: "objective.hot-fraction",
}

PROBLEM_CAPABILITY: Mapping[model.OptimizationProblem, str] = {
    model.OptimizationProblem.QUADRATIC_PENALTY: "optimize.problem.quadratic-penalty",
    model.OptimizationProblem.HOT_FRACTION: "optimize.problem.hot-fraction",
}


class Envelope:
    """The limits and capabilities of one server.

    Parameters
    ----------
    info : model.ServerInfo
        What the backend declares.
    """

    def __init__(self, info: model.ServerInfo) -> None:
        self._limits = info.limits
        self._scale = info.priority_scale
        self._capabilities = info.capabilities

    def require_capability(self, capability: str) -> None:
        if self._capabilities.get(capability, "NO") == "NO":
            raise CapabilityMissing(
                f"this server does not declare {capability!r}; GetServerInfo lists what it can do.",
                metadata={"capability": capability},
            )

    def objectives(self, specs: Sequence[model.ObjectiveSpec]) -> None:
        """A plan's whole list of objectives."""
        self.objective_count(len(specs))
        exceeded: list[LimitExceeded] = []
        for index, spec in enumerate(specs):
            try:
                self.objective(spec, f"specs[{index}]")
            except LimitExceeded as error:
                exceeded.append(error)
        if exceeded:
            violations = tuple(violation for error in exceeded for violation in error.violations)
            raise LimitExceeded(exceeded[0].message, metadata=exceeded[0].metadata, violations=violations)

    def objective_count(self, count: int) -> None:
        _at_most("objectives", count, self._limits.max_objectives)

    def objective(self, spec: model.ObjectiveSpec, path: str = "spec") -> None:
        self.require_capability(FUNCTION_CAPABILITY[type(spec.function)])
        if isinstance(spec.function, model.NormalTissueFalloff) and not spec.function.automatic:
            self._require_own_falloff()
        if spec.role is model.ObjectiveRole.CONSTRAINT:
            self.require_capability("objective.role.constraint")
        if spec.priority is not None:
            self.priority(spec.priority, f"{path}.priority")
        for field in ("dose_gy", "high_gy", "low_gy"):
            self.dose(getattr(spec.function, field, 0.0), f"{path}.function.{field}")

    def priority(self, priority: float, path: str) -> None:
        scale = self._scale
        if not scale.minimum <= priority <= scale.maximum:
            _exceeded(path, priority, f"priorities of this TPS lie between {scale.minimum:g} and {scale.maximum:g}")
        if scale.integer and priority != int(priority):
            _exceeded(path, priority, "this TPS takes whole-number priorities only")

    def dose(self, dose_gy: float, path: str) -> None:
        _at_most(path, dose_gy, self._limits.max_dose_gy, " Gy")

    def dose_grid(self, spacing_mm: float | None) -> None:
        """The grid that a dose calculation is asked for."""
        self._require_for(spacing_mm, "dose.grid")
        self.grid(spacing_mm, "grid_mm")

    def grid(self, spacing_mm: float | None, path: str) -> None:
        finest = self._limits.min_grid_mm
        if spacing_mm is not None and spacing_mm < finest:
            _exceeded(path, spacing_mm, f"the finest grid of this server is {finest:g} mm", f"{finest:g}")

    def lease(self, lease_s: float) -> None:
        _at_most("lease_s", lease_s, self._limits.max_lease_s, " s")

    def normalization(self, normalization: model.Normalization) -> None:
        if isinstance(normalization, model.PercentNormalization):
            self.require_capability("normalization.percent")
        if isinstance(normalization, model.CoverageNormalization):
            self.require_capability("normalization.coverage")
            self.dose(normalization.dose_gy, "normalization.coverage.dose_gy")

    def plan(self, spec: model.PlanSpec) -> None:
        self.plan_label(spec.label, "spec.label")
        _at_most("spec.beams", len(spec.beams), self._limits.max_beams)
        for index, target in enumerate(spec.prescription.targets):
            self.dose(target.total_gy, f"spec.prescription.targets[{index}].total_gy")
        self.grid(spec.dose_grid_mm, "spec.dose_grid_mm")
        self.grid(spec.optimization_grid_mm, "spec.optimization_grid_mm")
        self._require_for(spec.optimization_grid_mm, "plan.create.optimization-grid")
        self._require_for(spec.beamlet_mm, "plan.create.beamlet")

    def plan_label(self, label: str, path: str = "label") -> None:
        _at_most(path, len(label), self._limits.max_plan_label_length, " characters")

    def structure_label(self, label: str) -> None:
        _at_most("label", len(label), self._limits.max_structure_label_length, " characters")
        if not label.startswith("z"):
            rule = "a helper structure's label begins with 'z'"
            raise InvalidField(f"label: {rule}.", violations=(FieldViolation("label", rule),))

    def optimization(self, spec: model.OptimizeSpec) -> None:
        self.require_capability(PROBLEM_CAPABILITY[spec.problem])
        if spec.start is model.StartPoint.WARM:
            self.require_capability("optimize.warm-start")
        self._require_for(spec.seed, "optimize.seed")
        self._require_for(spec.max_iterations, "optimize.max-iterations")
        self._require_for(spec.max_seconds, "optimize.max-seconds")
        if spec.max_iterations is not None:
            _at_most("spec.max_iterations", spec.max_iterations, self._limits.max_iterations)
        if spec.max_seconds is not None:
            _at_most("spec.max_seconds", spec.max_seconds, self._limits.max_seconds, " s")

    def _require_for(self, value: float | None, capability: str) -> None:
        """Refuse a value that is given and would not be kept."""
        if value is not None:
            self.require_capability(capability)

    def _require_own_falloff(self) -> None:
        capability = "objective.normal-tissue"
        if self._capabilities[capability] == "AUTOMATIC":
            raise CapabilityMissing(
                "this server's normal-tissue fall-off takes no numbers of the caller's. Set automatic.",
                metadata={"capability": capability},
            )


def _at_most(path: str, value: float, limit: float, unit: str = "") -> None:
    if value > limit:
        _exceeded(path, value, f"at most {limit:g}{unit} is allowed here", f"{limit:g}")


def _exceeded(path: str, value: float, rule: str, limit: str = "") -> None:
    raise LimitExceeded(
        f"{path} is {value:g}: {rule}. Choose within the limit.",
        metadata={"field": path, "limit": limit} if limit else {"field": path},
        violations=(FieldViolation(path, rule),),
    )
