using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using System.Text;
using Beamwright.Emulation;
using VMS.TPS.Common.Model.Types;

namespace VMS.TPS.Common.Model.API
{
    /// <summary>A plan: prescription, beams, objectives, models. Its dose is in PlanSetup.Dosimetry.cs.</summary>
    public abstract partial class PlanSetup : PlanningItem
    {
        internal readonly CourseRecord CourseRecord;

        internal PlanSetup(Life life, CourseRecord course, PlanRecord record) : base(life, record)
        {
            CourseRecord = course;
        }

        internal new PlanRecord Record
        {
            get { return (PlanRecord)base.Record; }
        }

        /// <summary>The record of the plan's structure set; null where the plan has none.</summary>
        internal StructureSetRecord StructureSetRecord
        {
            get { return Life.Record.StructureSets.FirstOrDefault(set => set.Id == Record.StructureSet); }
        }

        public new string Id
        {
            get { return base.Id; }
            set
            {
                Change("Id", () => Record.Id = Ids.Checked(
                    Life, "plan", value, Life.Settings.MaxPlanId, CourseRecord.Plans.Where(plan => plan != Record).Select(plan => plan.Id)));
            }
        }

#if ESAPI18
        public new string Name
        {
            get { return base.Name; }
            set { Change("Name", () => Record.Name = value ?? ""); }
        }

        public new string Comment
        {
            get { return base.Comment; }
            set { Change("Comment", () => Record.Comment = value ?? ""); }
        }

        /// <summary>The physics knows no base dose: an optimization with one fails and says so in the logs.</summary>
        public PlanningItem BaseDosePlanningItem
        {
            get { return Get("BaseDosePlanningItem", () => PlanView.Of(Record).BaseDose); }
            set { Change("BaseDosePlanningItem", () => PlanView.Of(Record).BaseDose = value); }
        }

        public override Course Course
        {
            get { return Get("Course", () => new Course(Life, CourseRecord)); }
        }

        public IEnumerable<Beam> BeamsInTreatmentOrder
        {
            get { return Get("BeamsInTreatmentOrder", () => Record.Beams.OrderBy(beam => beam.Number).Select(beam => new Beam(this, beam))); }
        }

        /// <summary>The emulated prescriptions have no goals.</summary>
        public override List<ClinicalGoal> GetClinicalGoals()
        {
            return Call("GetClinicalGoals", () => new List<ClinicalGoal>());
        }
#else
        public Course Course
        {
            get { return Get("Course", () => new Course(Life, CourseRecord)); }
        }
#endif

        public PlanSetupApprovalStatus ApprovalStatus
        {
            get { return Get("ApprovalStatus", () => (PlanSetupApprovalStatus)Enum.Parse(typeof(PlanSetupApprovalStatus), Record.Approval)); }
        }

        public IEnumerable<Beam> Beams
        {
            get { return Get("Beams", () => Record.Beams.Select(beam => new Beam(this, beam))); }
        }

        public override DateTime? CreationDateTime
        {
            get
            {
                return Get("CreationDateTime", () => Record.Created == ""
                    ? (DateTime?)null
                    : DateTime.Parse(Record.Created, CultureInfo.InvariantCulture, DateTimeStyles.RoundtripKind));
            }
        }

        public string CreationUserName
        {
            get { return Get("CreationUserName", () => Life.Settings.User); }
        }

        public bool IsTreated
        {
            get { return Get("IsTreated", () => Record.Treated); }
        }

        public OptimizationSetup OptimizationSetup
        {
            get { return Get("OptimizationSetup", () => new OptimizationSetup(this)); }
        }

        public string PlanIntent
        {
            get { return Get("PlanIntent", () => ""); }
        }

        public IEnumerable<string> PlanObjectiveStructures
        {
            get
            {
                return Get("PlanObjectiveStructures", () => Record.Objectives
                    .Where(objective => objective.Kind != "nto").Select(objective => objective.Structure).Distinct().ToList());
            }
        }

        public PlanType PlanType
        {
            get { return Get("PlanType", () => PlanType.ExternalBeam); }
        }

        /// <summary>The emulated plans come from no prescription of the physician's.</summary>
        public RTPrescription RTPrescription
        {
            get { return Get("RTPrescription", () => (RTPrescription)null); }
        }

        public PlanSetup PredecessorPlan
        {
            get { return Get("PredecessorPlan", () => (PlanSetup)null); }
        }

        public PlanSetup VerifiedPlan
        {
            get { return Get("VerifiedPlan", () => (PlanSetup)null); }
        }

        public string SeriesUID
        {
            get { return Get("SeriesUID", () => Record.Uid + ".1"); }
        }

        public string UID
        {
            get { return Get("UID", () => Record.Uid); }
        }

        public override StructureSet StructureSet
        {
            get { return Get("StructureSet", () => StructureSetRecord == null ? null : new StructureSet(Life, StructureSetRecord)); }
        }

        public override IEnumerable<Structure> StructuresSelectedForDvh
        {
            get { return Get("StructuresSelectedForDvh", () => Enumerable.Empty<Structure>()); }
        }

        public string TargetVolumeID
        {
            get { return Get("TargetVolumeID", () => Record.Target); }
        }

        public PatientOrientation TreatmentOrientation
        {
            get { return Get("TreatmentOrientation", () => (PatientOrientation)Enum.Parse(typeof(PatientOrientation), Record.Orientation)); }
        }

        // the prescription ---------------------------------------------------------------------------------------------

        public DoseValue DosePerFraction
        {
            get { return Get("DosePerFraction", () => DoseUnits.Shown(Life.Settings, Record.DosePerFractionGy)); }
        }

        public DoseValue PlannedDosePerFraction
        {
            get { return Get("PlannedDosePerFraction", () => DoseUnits.Shown(Life.Settings, Record.DosePerFractionGy)); }
        }

        public DoseValue TotalDose
        {
            get { return Get("TotalDose", () => DoseUnits.Shown(Life.Settings, Record.TotalDoseGy)); }
        }

        public int? NumberOfFractions
        {
            get { return Get("NumberOfFractions", () => Record.Fractions); }
        }

        public double TreatmentPercentage
        {
            get { return Get("TreatmentPercentage", () => Record.TreatmentRatio); }
        }

#if ESAPI15
        public DoseValue PrescribedDosePerFraction
        {
            get { return Get("PrescribedDosePerFraction", () => DoseUnits.Shown(Life.Settings, Record.DosePerFractionGy)); }
        }

        public DoseValue DosePerFractionInPrimaryRefPoint
        {
            get { return Get("DosePerFractionInPrimaryRefPoint", () => DoseUnits.Shown(Life.Settings, Record.DosePerFractionGy)); }
        }

        public DoseValue TotalPrescribedDose
        {
            get { return Get("TotalPrescribedDose", () => DoseUnits.Shown(Life.Settings, Record.TotalDoseGy)); }
        }

        public double PrescribedPercentage
        {
            get { return Get("PrescribedPercentage", () => Record.TreatmentRatio); }
        }

#endif
        /// <summary>Another prescription takes the dose away (?).</summary>
        public void SetPrescription(int numberOfFractions, DoseValue dosePerFraction, double treatmentPercentage)
        {
            Change("SetPrescription", () =>
            {
                Amounts.Within(numberOfFractions, 1, 999, "numberOfFractions");
                double gy = Amounts.Positive(DoseUnits.Gy(Life.Settings, dosePerFraction, "dosePerFraction"), "dosePerFraction");
                Amounts.Within(treatmentPercentage, 0.01, 2.0, "treatmentPercentage");
                if (Record.Fractions != numberOfFractions || Record.DosePerFractionGy != gy || Record.TreatmentRatio != treatmentPercentage)
                {
                    DropDose();
                }
                Record.Fractions = numberOfFractions;
                Record.DosePerFractionGy = gy;
                Record.TreatmentRatio = treatmentPercentage;
            });
        }

#if !ESAPI15
        /// <summary>False, with the reason in `output`, when the plan has a dose already.</summary>
        public bool SetTargetStructureIfNoDose(Structure newTargetStructure, StringBuilder output)
        {
            return Alter("SetTargetStructureIfNoDose", () =>
            {
                StructureRecord target = Drawn(newTargetStructure, "newTargetStructure");
                if (target.Segment == null || Record.DoseValid)
                {
                    Tell(output, target.Segment == null
                        ? "Structure " + target.Id + " has no contours."
                        : "Plan " + Record.Id + " has a dose; its target cannot be changed.");
                    return false;
                }
                Record.Target = target.Id;
                return true;
            });
        }

        private static void Tell(StringBuilder output, string reason)
        {
            if (output != null)
            {
                output.AppendLine(reason);
            }
        }

#endif
        // rules --------------------------------------------------------------------------------------------------------

        /// <summary>Throws for a plan that is approved or treated: nothing about it may change any more.</summary>
        internal void RequireEditable(string member)
        {
            string state = Record.Treated ? "treated" : Record.Approved ? "approved (" + Record.Approval + ")" : null;
            if (state != null)
            {
                throw new ApplicationException(member + " would change plan " + Record.Id + ", which is " + state + ". Copy the plan and change the copy.");
            }
        }

        internal void Change(string member, Action write)
        {
            Set(member, () =>
            {
                RequireEditable(member);
                write();
            });
        }

        internal T Alter<T>(string member, Func<T> write)
        {
            return Edit(member, () =>
            {
                RequireEditable(member);
                return write();
            });
        }

        /// <summary>The structure of this id in the plan's set; null where it is gone.</summary>
        internal Structure StructureNamed(string id)
        {
            StructureSetRecord set = StructureSetRecord;
            StructureRecord found = set == null ? null : set.Structures.FirstOrDefault(structure => structure.Id == id);
            return found == null ? null : new Structure(Life, set, found);
        }

        /// <summary>The record of a structure of this plan's structure set.</summary>
        internal StructureRecord Drawn(Structure structure, string parameter)
        {
            if (structure == null)
            {
                throw new ArgumentNullException(parameter);
            }
            var record = (StructureRecord)structure.Record;
            if (StructureSetRecord == null || !StructureSetRecord.Structures.Contains(record))
            {
                throw new ArgumentException("Structure " + record.Id + " is not in the structure set of plan " + Record.Id + ".", parameter);
            }
            return record;
        }
    }
}
