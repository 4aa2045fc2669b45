using System;
using System.Collections.Generic;
using System.Linq;
using Beamwright.Emulation;
using VMS.TPS.Common.Model.Types;

namespace VMS.TPS.Common.Model.API
{
    /// <summary>A plan's objectives and parameters: added and removed, never changed.</summary>
    public class OptimizationSetup : GuardedPart
    {
        private const double HighestPriority = 1000;

        internal OptimizationSetup(PlanSetup owner) : base(owner)
        {
        }

        /// <summary>Live: who removes while enumerating is told so by an exception.</summary>
        public IEnumerable<OptimizationObjective> Objectives
        {
            get { return Get("Objectives", () => Stored.Where(one => one.Kind != "nto").Select(one => OptimizationObjective.Of(Owner, one))); }
        }

        public IEnumerable<OptimizationParameter> Parameters
        {
            get { return Get("Parameters", () => Normal().Concat(OfBeams()).Concat(JawTracking())); }
        }

        public bool UseJawTracking
        {
            get { return Get("UseJawTracking", () => Owner.Record.JawTracking); }
            set { Set("UseJawTracking", () => Owner.Record.JawTracking = value); }
        }

        /// <summary>Volume in percent of the structure or, by switch, as a ratio.</summary>
        public OptimizationPointObjective AddPointObjective(
            Structure structure, OptimizationObjectiveOperator objectiveOperator, DoseValue dose, double volume, double priority)
        {
            return new OptimizationPointObjective(Owner, Added("AddPointObjective", () =>
            {
                RequireSide(objectiveOperator, exactToo: false);
                ObjectiveRecord made = On(structure, "point", objectiveOperator, dose, priority);
                made.VolumePercent = Amounts.Within(volume, 0, FullVolume, "volume") * 100.0 / FullVolume;
                return made;
            }));
        }

        public OptimizationMeanDoseObjective AddMeanDoseObjective(Structure structure, DoseValue dose, double priority)
        {
            return new OptimizationMeanDoseObjective(Owner, Added(
                "AddMeanDoseObjective", () => On(structure, "mean", OptimizationObjectiveOperator.Upper, dose, priority)));
        }

        public OptimizationEUDObjective AddEUDObjective(
            Structure structure, OptimizationObjectiveOperator objectiveOperator, DoseValue dose, double parameterA, double priority)
        {
            return new OptimizationEUDObjective(Owner, Added("AddEUDObjective", () =>
            {
                RequireSide(objectiveOperator, exactToo: true);
                ObjectiveRecord made = On(structure, "eud", objectiveOperator, dose, priority);
                made.A = Amounts.Within(parameterA, -1000, 1000, "parameterA");
                return made;
            }));
        }

        public OptimizationNormalTissueParameter AddNormalTissueObjective(
            double priority, double distanceFromTargetBorderInMM, double startDosePercentage, double endDosePercentage, double fallOff)
        {
            return new OptimizationNormalTissueParameter(Owner, Added("AddNormalTissueObjective", () => NormalTissue(priority, new NtoRecord
            {
                DistanceMm = Amounts.NotNegative(distanceFromTargetBorderInMM, "distanceFromTargetBorderInMM"),
                StartPercent = Amounts.Within(startDosePercentage, 0, 1000, "startDosePercentage"),
                EndPercent = Amounts.Within(endDosePercentage, 0, 1000, "endDosePercentage"),
                FallOff = Amounts.NotNegative(fallOff, "fallOff"),
            })));
        }

        public OptimizationNormalTissueParameter AddAutomaticNormalTissueObjective(double priority)
        {
            return new OptimizationNormalTissueParameter(Owner, Added("AddAutomaticNormalTissueObjective", () => NormalTissue(priority, Automatic())));
        }

#if ESAPI18
        /// <summary>To the physics the same as the other automatic one.</summary>
        public OptimizationNormalTissueParameter AddAutomaticSbrtNormalTissueObjective(double priority)
        {
            return new OptimizationNormalTissueParameter(Owner, Added("AddAutomaticSbrtNormalTissueObjective", () => NormalTissue(priority, Automatic())));
        }

#endif
        public void RemoveObjective(OptimizationObjective objective)
        {
            Set("RemoveObjective", () => Remove(objective == null ? null : objective.Stored, "objective"));
        }

        /// <summary>Only the normal-tissue parameter can be removed.</summary>
        public void RemoveParameter(OptimizationParameter parameter)
        {
            Set("RemoveParameter", () => Remove(parameter == null ? null : parameter.Source as ObjectiveRecord, "parameter"));
        }

        private List<ObjectiveRecord> Stored
        {
            get { return Owner.Record.Objectives; }
        }

        private double FullVolume
        {
            get { return Life.Settings.Switches.PointVolumeRatio ? 1.0 : 100.0; }
        }

        private ObjectiveRecord Added(string member, Func<ObjectiveRecord> make)
        {
            return Edit(member, () =>
            {
                ObjectiveRecord made = make();
                Life.ObjectivesAdded++;
                if (Life.ObjectivesAdded == Life.Settings.Faults.AddObjectiveAfter)
                {
                    throw new ApplicationException(Life.Settings.Faults.Reason);
                }
                Stored.Add(made);
                return made;
            });
        }

        private ObjectiveRecord On(Structure structure, string kind, OptimizationObjectiveOperator side, DoseValue dose, double priority)
        {
            StructureRecord drawn = Owner.Drawn(structure, "structure");
            if (drawn.Segment == null)
            {
                throw new ArgumentException("Structure " + drawn.Id + " has no contours; an objective needs some.", "structure");
            }
            return new ObjectiveRecord
            {
                Kind = kind,
                Structure = drawn.Id,
                Operator = side.ToString(),
                DoseGy = DoseUnits.Gy(Life.Settings, dose, "dose"),
                Priority = Amounts.Within(priority, 0, HighestPriority, "priority"),
            };
        }

        /// <summary>A plan has one of these: a second is refused (?).</summary>
        private ObjectiveRecord NormalTissue(double priority, NtoRecord shape)
        {
            if (Stored.Any(one => one.Kind == "nto"))
            {
                throw new ApplicationException("Plan " + Owner.Record.Id + " has a normal tissue objective already; remove it first.");
            }
            return new ObjectiveRecord
            {
                Kind = "nto",
                Priority = Amounts.Within(priority, 0, HighestPriority, "priority"),
                Nto = shape,
            };
        }

        private static NtoRecord Automatic()
        {
            return new NtoRecord { Automatic = true };
        }

        private static void RequireSide(OptimizationObjectiveOperator side, bool exactToo)
        {
            bool known = side == OptimizationObjectiveOperator.Upper || side == OptimizationObjectiveOperator.Lower;
            if (!known && !(exactToo && side == OptimizationObjectiveOperator.Exact))
            {
                throw new ArgumentException("The operator cannot be " + side + " here.", "objectiveOperator");
            }
        }

        private void Remove(ObjectiveRecord record, string parameter)
        {
            if (record == null || !Stored.Remove(record))
            {
                throw new ArgumentException("It is not one of those of plan " + Owner.Record.Id + " that can be removed.", parameter);
            }
            record.Removed = true;
        }

        private IEnumerable<OptimizationParameter> Normal()
        {
            return Stored.Where(one => one.Kind == "nto").Select(one => new OptimizationNormalTissueParameter(Owner, one));
        }

        private IEnumerable<OptimizationParameter> OfBeams()
        {
            return Owner.Record.Beams.Where(beam => !beam.Setup && beam.Technique == "STATIC")
                .Select(beam => new OptimizationIMRTBeamParameter(Owner, beam));
        }

        private IEnumerable<OptimizationParameter> JawTracking()
        {
            return Owner.Record.JawTracking
                ? new OptimizationParameter[] { new OptimizationJawTrackingUsedParameter(Owner) }
                : new OptimizationParameter[0];
        }
    }
}
