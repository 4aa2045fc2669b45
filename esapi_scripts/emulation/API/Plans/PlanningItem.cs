using System;
using System.Collections.Generic;
using Beamwright.Emulation;
using VMS.TPS.Common.Model.Types;

namespace VMS.TPS.Common.Model.API
{
    /// <summary>What has a dose on a structure set: plans, and, in Eclipse, their sums.</summary>
    public abstract class PlanningItem : ApiDataObject
    {
        internal PlanningItem(Life life, Record record) : base(life, record)
        {
        }

#if ESAPI18
        public abstract Course Course { get; }
#endif
        public abstract DateTime? CreationDateTime { get; }
        public abstract PlanningItemDose Dose { get; }
        public abstract DoseValuePresentation DoseValuePresentation { get; set; }
        public abstract StructureSet StructureSet { get; }
        public abstract IEnumerable<Structure> StructuresSelectedForDvh { get; }

        public abstract DVHData GetDVHCumulativeData(
            Structure structure, DoseValuePresentation dosePresentation, VolumePresentation volumePresentation, double binWidth);

        public abstract DoseValue GetDoseAtVolume(
            Structure structure, double volume, VolumePresentation volumePresentation, DoseValuePresentation requestedDosePresentation);

        public abstract double GetVolumeAtDose(Structure structure, DoseValue dose, VolumePresentation requestedVolumePresentation);
#if ESAPI18

        public abstract List<ClinicalGoal> GetClinicalGoals();
#endif
    }
}
