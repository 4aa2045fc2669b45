using System.Collections.Generic;
using System.Linq;
using Beamwright.Emulation;
using VMS.TPS.Common.Model.Types;

namespace VMS.TPS.Common.Model.API
{
    /// <summary>A cumulative dose-volume histogram, and what can be told from it.</summary>
    public class DVHData : GuardedPart
    {
        private readonly IDictionary<string, object> _found;
        private readonly DoseValuePresentation _dose;
        private readonly VolumePresentation _volume;

        internal DVHData(PlanSetup owner, IDictionary<string, object> found, DoseValuePresentation dose, VolumePresentation volume) : base(owner)
        {
            _found = found;
            _dose = dose;
            _volume = volume;
        }

        public DVHPoint[] CurveData
        {
            get { return Get("CurveData", Points); }
        }

        /// <summary>How much of the structure the dose grid covers, 0 to 1.</summary>
        public double Coverage
        {
            get { return Get("Coverage", () => _found.Number("coverage")); }
        }

        public double SamplingCoverage
        {
            get { return Get("SamplingCoverage", () => _found.Number("coverage")); }
        }

        public DoseValue MaxDose
        {
            get { return Get("MaxDose", () => Shown("max_gy")); }
        }

        public DoseValue MeanDose
        {
            get { return Get("MeanDose", () => Shown("mean_gy")); }
        }

        public DoseValue MedianDose
        {
            get { return Get("MedianDose", () => Shown("median_gy")); }
        }

        public DoseValue MinDose
        {
            get { return Get("MinDose", () => Shown("min_gy")); }
        }

        /// <summary>In the unit of the doses.</summary>
        public double StdDev
        {
            get { return Get("StdDev", () => Shown("std_gy").Dose); }
        }

        /// <summary>Always in cubic centimetres.</summary>
        public double Volume
        {
            get { return Get("Volume", () => _found.Number("volume_cc")); }
        }

#if ESAPI18
        /// <summary>The physics does not tell where.</summary>
        public VVector MaxDosePosition
        {
            get { return Get("MaxDosePosition", () => VVector.Undefined); }
        }

        /// <summary>The physics does not tell where.</summary>
        public VVector MinDosePosition
        {
            get { return Get("MinDosePosition", () => VVector.Undefined); }
        }

#endif
        private DVHPoint[] Points()
        {
            bool relative = _volume == VolumePresentation.Relative;
            double perPercent = relative ? 1.0 : _found.Number("volume_cc") / 100.0;
            string unit = relative ? "%" : "cm3";
            double[] gy = Json.Numbers(_found.Get("dose_gy"));
            double[] percent = Json.Numbers(_found.Get("volume_percent"));
            return gy.Select((dose, at) => new DVHPoint(Owner.Presented(dose, _dose), percent[at] * perPercent, unit)).ToArray();
        }

        private DoseValue Shown(string key)
        {
            return Owner.Presented(_found.Number(key), _dose);
        }
    }
}
