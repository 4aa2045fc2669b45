using System.Runtime.CompilerServices;
using Beamwright.Emulation;

namespace VMS.TPS.Common.Model.API
{
    /// <summary>What else the optimizer is told. It has no id and cannot be changed; two wrappers of one parameter are equal.</summary>
    public abstract class OptimizationParameter : GuardedPart
    {
        /// <summary>The record that it shows: an objective's, a beam's or the plan's.</summary>
        internal readonly Record Source;

        internal OptimizationParameter(PlanSetup owner, Record source) : base(owner)
        {
            Source = source;
        }

        internal override Record Kept
        {
            get { return Source; }
        }

        public override bool Equals(object obj)
        {
            var other = obj as OptimizationParameter;
            return !ReferenceEquals(other, null) && GetType() == other.GetType() && ReferenceEquals(Source, other.Source);
        }

        public override int GetHashCode()
        {
            return RuntimeHelpers.GetHashCode(Source) ^ GetType().GetHashCode();
        }

        public static bool operator ==(OptimizationParameter left, OptimizationParameter right)
        {
            return Equals(left, right);
        }

        public static bool operator !=(OptimizationParameter left, OptimizationParameter right)
        {
            return !Equals(left, right);
        }
    }

    /// <summary>Dose fall-off outside the targets.</summary>
    public class OptimizationNormalTissueParameter : OptimizationParameter
    {
        private readonly ObjectiveRecord _stored;

        internal OptimizationNormalTissueParameter(PlanSetup owner, ObjectiveRecord stored) : base(owner, stored)
        {
            _stored = stored;
        }

        public double Priority
        {
            get { return Get("Priority", () => _stored.Priority); }
        }

        public double DistanceFromTargetBorderInMM
        {
            get { return Get("DistanceFromTargetBorderInMM", () => _stored.Nto.DistanceMm); }
        }

        public double StartDosePercentage
        {
            get { return Get("StartDosePercentage", () => _stored.Nto.StartPercent); }
        }

        public double EndDosePercentage
        {
            get { return Get("EndDosePercentage", () => _stored.Nto.EndPercent); }
        }

        public double FallOff
        {
            get { return Get("FallOff", () => _stored.Nto.FallOff); }
        }

        public bool IsAutomatic
        {
            get { return Get("IsAutomatic", () => _stored.Nto.Automatic); }
        }
    }

    /// <summary>Smoothing of one beam's fluence. The physics has its own; these are the numbers that Eclipse begins with (?).</summary>
    public class OptimizationIMRTBeamParameter : OptimizationParameter
    {
        private readonly BeamRecord _beam;

        internal OptimizationIMRTBeamParameter(PlanSetup owner, BeamRecord beam) : base(owner, beam)
        {
            _beam = beam;
        }

        public Beam Beam
        {
            get { return Get("Beam", () => new Beam(Owner, _beam)); }
        }

        public string BeamId
        {
            get { return Get("BeamId", () => _beam.Id); }
        }

        public bool Excluded
        {
            get { return Get("Excluded", () => false); }
        }

        public bool FixedJaws
        {
            get { return Get("FixedJaws", () => false); }
        }

        public double SmoothX
        {
            get { return Get("SmoothX", () => 40.0); }
        }

        public double SmoothY
        {
            get { return Get("SmoothY", () => 30.0); }
        }
    }

    /// <summary>The jaws follow the leaves.</summary>
    public class OptimizationJawTrackingUsedParameter : OptimizationParameter
    {
        internal OptimizationJawTrackingUsedParameter(PlanSetup owner) : base(owner, owner.Record)
        {
        }
    }
}
