using System;
using System.Collections.Generic;
using System.Linq;
using System.Text;
using Beamwright.Emulation;

namespace VMS.TPS.Common.Model.API
{
    /// <summary>A course of plans.</summary>
    public class Course : ApiDataObject
    {
        internal readonly CourseRecord Row;

        internal Course(Life life, CourseRecord row) : base(life, row)
        {
            Row = row;
        }

        public new string Id
        {
            get { return base.Id; }
            set { Set("Id", () => Row.Id = Ids.Checked(Life, "course", value, Life.Settings.MaxCourseId, OtherCourseIds())); }
        }

#if ESAPI18
        public new string Comment
        {
            get { return base.Comment; }
            set { Set("Comment", () => Row.Comment = value); }
        }
#endif

        public Patient Patient
        {
            get { return Get("Patient", () => new Patient(Life)); }
        }

        public string Intent
        {
            get { return Get("Intent", () => ""); }
        }

        public DateTime? StartDateTime
        {
            get { return Get<DateTime?>("StartDateTime", () => null); }
        }

        public DateTime? CompletedDateTime
        {
            get { return Get<DateTime?>("CompletedDateTime", () => null); }
        }

        public IEnumerable<PlanSetup> PlanSetups
        {
            get { return Get("PlanSetups", Plans); }
        }

        public IEnumerable<ExternalPlanSetup> ExternalPlanSetups
        {
            get { return Get("ExternalPlanSetups", Plans); }
        }

        public IEnumerable<IonPlanSetup> IonPlanSetups
        {
            get { return Get("IonPlanSetups", () => new List<IonPlanSetup>()); }
        }

        public IEnumerable<BrachyPlanSetup> BrachyPlanSetups
        {
            get { return Get("BrachyPlanSetups", () => new List<BrachyPlanSetup>()); }
        }

        public IEnumerable<PlanSum> PlanSums
        {
            get { return Get("PlanSums", () => new List<PlanSum>()); }
        }

#if ESAPI18
        public bool IsCompleted()
        {
            return Call("IsCompleted", () => false);
        }
#endif

        public bool CanAddPlanSetup(StructureSet structureSet)
        {
            return Call("CanAddPlanSetup", () => Life.Writing && Life.Record.StructureSets.Contains(structureSet.Row));
        }

        public ExternalPlanSetup AddExternalPlanSetup(StructureSet structureSet)
        {
            return Edit("AddExternalPlanSetup", () =>
            {
                CheckSet(structureSet);
                var plan = new PlanRecord
                {
                    Id = Ids.Free("Plan", Life.Settings.MaxPlanId, PlanIds()),
                    Uid = PlanRecord.NewUid(),
                    StructureSet = structureSet.Row.Id,
                    Orientation = Life.Record.Orientation,
                    Created = PlanRecord.Now(),
                };
                Row.Plans.Add(plan);
                return new ExternalPlanSetup(Life, Row, plan);
            });
        }

        public bool CanRemovePlanSetup(PlanSetup planSetup)
        {
            return Call("CanRemovePlanSetup", () => WhyNotRemove(PlanOf(planSetup)) == null);
        }

        public void RemovePlanSetup(PlanSetup planSetup)
        {
            Set("RemovePlanSetup", () =>
            {
                PlanRecord plan = PlanOf(planSetup);
                string why = WhyNotRemove(plan);
                if (why != null)
                {
                    throw new ApplicationException("Plan " + plan.Id + " cannot be removed: " + why + ".");
                }
                Row.Plans.Remove(plan);
                Discard(plan);
            });
        }

        public PlanSetup CopyPlanSetup(PlanSetup sourcePlan)
        {
            return Edit("CopyPlanSetup", () => Copied(PlanOf(sourcePlan), PlanOf(sourcePlan).StructureSet));
        }

        public PlanSetup CopyPlanSetup(PlanSetup sourcePlan, StructureSet structureset, StringBuilder outputDiagnostics)
        {
            return Edit("CopyPlanSetup", () =>
            {
                CheckSet(structureset);
                PlanRecord source = PlanOf(sourcePlan);
                if (source.StructureSet != structureset.Row.Id && outputDiagnostics != null)
                {
                    outputDiagnostics.AppendLine("The dose was not copied: the plan is now on structure set " + structureset.Row.Id + ".");
                }
                return Copied(source, structureset.Row.Id);
            });
        }

        /// <summary>A plan that is no longer in the patient: its wrappers, and those of its parts, are dead.</summary>
        internal static void Discard(PlanRecord plan)
        {
            plan.Removed = true;
            plan.Beams.ForEach(beam => beam.Removed = true);
            plan.Objectives.ForEach(objective => objective.Removed = true);
        }

        private PlanSetup Copied(PlanRecord source, string structureSetId)
        {
            Switches switches = Life.Settings.Switches;
            if (Life.Settings.Faults.CopyThrows)
            {
                throw new ApplicationException("Plan " + source.Id + " could not be copied: " + Life.Settings.Faults.Reason);
            }
            PlanRecord copy = source.Copy();
            copy.Id = CopyId(source.Id);
            copy.StructureSet = structureSetId;
            if (!switches.CopyObjectives)
            {
                copy.Objectives.Clear();
            }
            if (!switches.CopyDose || structureSetId != source.StructureSet)
            {
                WithoutDose(copy);
            }
            Row.Plans.Add(copy);
            return new ExternalPlanSetup(Life, Row, copy);
        }

        private static void WithoutDose(PlanRecord plan)
        {
            plan.Dose = null;
            plan.DoseValid = false;
            plan.DoseKind = "";
            plan.Beams.ForEach(beam => beam.Mu = null);
        }

        private string CopyId(string wanted)
        {
            return PlanIds().Contains(wanted, StringComparer.OrdinalIgnoreCase)
                ? Ids.Free(wanted, Life.Settings.MaxPlanId, PlanIds())
                : wanted;
        }

        private string WhyNotRemove(PlanRecord plan)
        {
            if (!Row.Plans.Contains(plan))
            {
                return "it is not in course " + Row.Id;
            }
            if (plan.Approved)
            {
                return "it is " + plan.Approval;
            }
            return plan.Treated ? "it has been treated" : null;
        }

        private void CheckSet(StructureSet structureSet)
        {
            if (structureSet == null)
            {
                throw new ArgumentNullException("structureSet");
            }
            if (!Life.Record.StructureSets.Contains(structureSet.Row))
            {
                throw new ArgumentException("Structure set " + structureSet.Row.Id + " does not belong to patient " + Life.Record.Id + ".");
            }
        }

        private static PlanRecord PlanOf(PlanSetup plan)
        {
            if (ReferenceEquals(plan, null))
            {
                throw new ArgumentNullException("plan");
            }
            var row = (PlanRecord)plan.Record;
            if (row.Removed || plan.Life.Ended)
            {
                throw new ObjectDisposedException(null, "Plan " + row.Id + " is no longer there.");
            }
            return row;
        }

        private List<ExternalPlanSetup> Plans()
        {
            return Row.Plans.Select(plan => new ExternalPlanSetup(Life, Row, plan)).ToList();
        }

        private IEnumerable<string> PlanIds()
        {
            return Row.Plans.Select(plan => plan.Id);
        }

        private IEnumerable<string> OtherCourseIds()
        {
            return Life.Record.Courses.Where(course => course != Row).Select(course => course.Id);
        }
    }
}
