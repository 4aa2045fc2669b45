using System.Linq;
using System.Runtime.CompilerServices;
using Beamwright.Emulation;
using VMS.TPS.Common.Model.Types;

namespace VMS.TPS.Common.Model.API
{
    /// <summary>An objective. It has no id and cannot be changed; two wrappers of one objective are equal.</summary>
    public abstract class OptimizationObjective : GuardedPart
    {
        internal readonly ObjectiveRecord Stored;

        internal OptimizationObjective(PlanSetup owner, ObjectiveRecord stored) : base(owner)
        {
            Stored = stored;
        }

        internal override Record Kept
        {
            get { return Stored; }
        }

        public OptimizationObjectiveOperator Operator
        {
            get
            {
                return Get("Operator", () => (OptimizationObjectiveOperator)System.Enum.Parse(typeof(OptimizationObjectiveOperator), Stored.Operator));
            }
        }

        public double Priority
        {
            get { return Get("Priority", () => Stored.Priority); }
        }

        public Structure Structure
        {
            get { return Get("Structure", () => Owner.StructureNamed(Stored.Structure)); }
        }

        public string StructureId
        {
            get { return Get("StructureId", () => Stored.Structure); }
        }

        public override bool Equals(object obj)
        {
            var other = obj as OptimizationObjective;
            return !ReferenceEquals(other, null) && ReferenceEquals(Stored, other.Stored);
        }

        public override int GetHashCode()
        {
            return RuntimeHelpers.GetHashCode(Stored);
        }

        public static bool operator ==(OptimizationObjective left, OptimizationObjective right)
        {
            return Equals(left, right);
        }

        public static bool operator !=(OptimizationObjective left, OptimizationObjective right)
        {
            return !Equals(left, right);
        }

        internal static OptimizationObjective Of(PlanSetup owner, ObjectiveRecord stored)
        {
            switch (stored.Kind)
            {
                case "point": return new OptimizationPointObjective(owner, stored);
                case "mean": return new OptimizationMeanDoseObjective(owner, stored);
                case "eud": return new OptimizationEUDObjective(owner, stored);
                case "line": return new OptimizationLineObjective(owner, stored);
                default: throw new PhysicsException("Failed", "The record of plan " + owner.Record.Id + " has an objective of unknown kind " + stored.Kind + ".");
            }
        }
    }

    /// <summary>A dose-volume point.</summary>
    public class OptimizationPointObjective : OptimizationObjective
    {
        internal OptimizationPointObjective(PlanSetup owner, ObjectiveRecord stored) : base(owner, stored)
        {
        }

        public DoseValue Dose
        {
            get { return Get("Dose", () => DoseUnits.Shown(Life.Settings, Stored.DoseGy)); }
        }

        /// <summary>Percent of the structure or, by switch, a ratio.</summary>
        public double Volume
        {
            get { return Get("Volume", () => (Stored.VolumePercent ?? double.NaN) / (Life.Settings.Switches.PointVolumeRatio ? 100.0 : 1.0)); }
        }
    }

    /// <summary>An upper limit of the mean dose.</summary>
    public class OptimizationMeanDoseObjective : OptimizationObjective
    {
        internal OptimizationMeanDoseObjective(PlanSetup owner, ObjectiveRecord stored) : base(owner, stored)
        {
        }

        public DoseValue Dose
        {
            get { return Get("Dose", () => DoseUnits.Shown(Life.Settings, Stored.DoseGy)); }
        }
    }

    /// <summary>A limit of the generalised equivalent uniform dose.</summary>
    public class OptimizationEUDObjective : OptimizationObjective
    {
        internal OptimizationEUDObjective(PlanSetup owner, ObjectiveRecord stored) : base(owner, stored)
        {
        }

        public DoseValue Dose
        {
            get { return Get("Dose", () => DoseUnits.Shown(Life.Settings, Stored.DoseGy)); }
        }

        public double ParameterA
        {
            get { return Get("ParameterA", () => Stored.A ?? double.NaN); }
        }
    }

    /// <summary>A whole curve, made by DVH estimation; no script can add one. The record keeps one point of it.</summary>
    public class OptimizationLineObjective : OptimizationObjective
    {
        internal OptimizationLineObjective(PlanSetup owner, ObjectiveRecord stored) : base(owner, stored)
        {
        }

        public DVHPoint[] CurveData
        {
            get
            {
                return Get("CurveData", () => new[] { Stored }.Where(one => one.DoseGy != null)
                    .Select(one => new DVHPoint(DoseUnits.Shown(Life.Settings, one.DoseGy), one.VolumePercent ?? 0, "%")).ToArray());
            }
        }
    }
}
