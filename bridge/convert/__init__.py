"""The one place that knows both the wire and the model.

Messages mirror the dataclasses of `bridge.model` field by field and word by word, so one walk over the names serves
all of them, both ways (`mirror`); here it gets its names, ``plan_to_wire``, ``plan_from_wire`` and so on. Voxel arrays
travel as a header and chunks (`volumes`). What the fields of a request demand of each other is in `rules`.

``*_from_wire`` takes the path of the field it reads, for the names of violations: ``plan_spec_from_wire(request.spec,
"spec")``.
"""

from __future__ import annotations

from bridge import model
from bridge.convert.mirror import normalization_from_wire as normalization_from_wire
from bridge.convert.mirror import normalization_to_wire as normalization_to_wire
from bridge.convert.mirror import noun, word
from bridge.convert.rules import check as check
from bridge.convert.volumes import encode_volume as encode_volume
from bridge.convert.volumes import volume_chunks as volume_chunks
from bridge.tps.v1 import (
    common_pb2,
    dose_pb2,
    objective_pb2,
    operation_pb2,
    optimization_pb2,
    plan_pb2,
    server_pb2,
    session_pb2,
    structure_pb2,
)

# the server
server_info_to_wire, server_info_from_wire = noun(model.ServerInfo, server_pb2.ServerInfo)

# sessions
session_to_wire, session_from_wire = noun(model.Session, session_pb2.Session)
session_mode_to_wire, session_mode_from_wire = word(model.SessionMode, session_pb2.SessionMode)
client_info_to_wire, client_info_from_wire = noun(model.ClientInfo, session_pb2.ClientInfo)
pending_changes_to_wire, pending_changes_from_wire = noun(model.PendingChanges, session_pb2.PendingChanges)
change_to_wire, change_from_wire = noun(model.Change, session_pb2.Change)

# patients, structures
patient_to_wire, patient_from_wire = noun(model.Patient, plan_pb2.Patient)
structure_to_wire, structure_from_wire = noun(model.Structure, structure_pb2.Structure)
derivation_to_wire, derivation_from_wire = noun(model.Derivation, structure_pb2.Derivation)

# plans
plan_to_wire, plan_from_wire = noun(model.Plan, plan_pb2.Plan)
plan_spec_to_wire, plan_spec_from_wire = noun(model.PlanSpec, plan_pb2.PlanSpec)
beam_to_wire, beam_from_wire = noun(model.Beam, plan_pb2.Beam)
machine_to_wire, machine_from_wire = noun(model.Machine, plan_pb2.Machine)
snapshot_to_wire, snapshot_from_wire = noun(model.Snapshot, plan_pb2.Snapshot)

# objectives, optimisation
objective_to_wire, objective_from_wire = noun(model.Objective, objective_pb2.Objective)
objective_spec_to_wire, objective_spec_from_wire = noun(model.ObjectiveSpec, objective_pb2.ObjectiveSpec)
optimize_spec_to_wire, optimize_spec_from_wire = noun(model.OptimizeSpec, optimization_pb2.OptimizeSpec)
optimization_result_to_wire, optimization_result_from_wire = noun(
    model.OptimizationResult, optimization_pb2.OptimizationResult
)

# dose
grid_to_wire, grid_from_wire = noun(model.Grid, common_pb2.Grid)
dose_info_to_wire, dose_info_from_wire = noun(model.DoseInfo, dose_pb2.DoseInfo)
dose_result_to_wire, dose_result_from_wire = noun(model.DoseResult, dose_pb2.DoseResult)
dvh_to_wire, dvh_from_wire = noun(model.Dvh, dose_pb2.Dvh)
metric_query_to_wire, metric_query_from_wire = noun(model.MetricQuery, dose_pb2.MetricQuery)
metric_result_to_wire, metric_result_from_wire = noun(model.MetricResult, dose_pb2.MetricResult)

# operations
operation_to_wire, operation_from_wire = noun(model.Operation, operation_pb2.Operation)
cancel_outcome_to_wire, cancel_outcome_from_wire = word(model.CancelOutcome, operation_pb2.CancelOutcome)
