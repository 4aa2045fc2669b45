using System;
using System.Collections.Generic;
using System.Linq;
using Beamwright.Emulation;

namespace VMS.TPS.Common.Model.API
{
    /// <summary>The structures drawn on an image.</summary>
    public class StructureSet : ApiDataObject
    {
        private static readonly string[] DicomTypes =
        {
            "AVOIDANCE", "CAVITY", "CONTRAST_AGENT", "CONTROL", "CTV", "DOSE_REGION", "EXTERNAL", "FIXATION", "GTV",
            "IRRAD_VOLUME", "ORGAN", "PTV", "SUPPORT", "TREATED_VOLUME",
        };

        internal readonly StructureSetRecord Row;

        internal StructureSet(Life life, StructureSetRecord row) : base(life, row)
        {
            Row = row;
        }

        public new string Id
        {
            get { return base.Id; }
            set { Set("Id", () => Rename(value)); }
        }

        public Image Image
        {
            get { return Get("Image", () => new Image(Life, Life.Record.Image)); }
        }

        public Patient Patient
        {
            get { return Get("Patient", () => new Patient(Life)); }
        }

        public IEnumerable<Structure> Structures
        {
            get { return Get("Structures", () => Row.Structures.Select(structure => new Structure(Life, Row, structure)).ToList()); }
        }

        public string UID
        {
            get { return Get("UID", () => Life.Record.Id + "." + Row.Image + "." + Row.Id); }
        }

        public bool CanAddStructure(string dicomType, string id)
        {
            return Call("CanAddStructure", () => WhyNotAdd(dicomType, id) == null);
        }

        public Structure AddStructure(string dicomType, string id)
        {
            return Edit("AddStructure", () =>
            {
                string why = WhyNotAdd(dicomType, id);
                if (why != null)
                {
                    throw new ApplicationException("Structure " + id + " cannot be added to structure set " + Row.Id + ": " + why);
                }
                var structure = new StructureRecord { Id = CheckedId(id), DicomType = dicomType };
                Row.Structures.Add(structure);
                return new Structure(Life, Row, structure);
            });
        }

        public bool CanRemoveStructure(Structure structure)
        {
            return Call("CanRemoveStructure", () => WhyNotRemove(structure.Row) == null);
        }

        public void RemoveStructure(Structure structure)
        {
            Set("RemoveStructure", () =>
            {
                string why = WhyNotRemove(structure.Row);
                if (why != null)
                {
                    throw new ApplicationException("Structure " + structure.Row.Id + " cannot be removed from structure set " + Row.Id + ": " + why);
                }
                Row.Structures.Remove(structure.Row);
                structure.Row.Removed = true;
                ForgetObjectives(structure.Row.Id);
            });
        }

        public StructureSet Copy()
        {
            return Edit("Copy", () =>
            {
                StructureSetRecord copy = StructureSetRecord.From(Row.To());
                copy.Id = Ids.Free(Row.Id, Life.Settings.MaxStructureId, Life.Record.StructureSets.Select(set => set.Id));
                copy.Structures.ForEach(structure => structure.Approved = false);
                Life.Record.StructureSets.Add(copy);
                return new StructureSet(Life, copy);
            });
        }

        public void Delete()
        {
            Set("Delete", () =>
            {
                if (PlansOn(Life, Row).Any())
                {
                    throw new ApplicationException("Structure set " + Row.Id + " cannot be deleted: there are plans on it.");
                }
                Life.Record.StructureSets.Remove(Row);
                Row.Removed = true;
                Row.Structures.ForEach(structure => structure.Removed = true);
            });
        }

        /// <summary>Why the set cannot be edited; null where it can.</summary>
        internal static string WhyLocked(Life life, StructureSetRecord set)
        {
            if (life.Settings.Switches.ApprovedSetOpen)
            {
                return null;
            }
            PlanRecord approved = PlansOn(life, set).FirstOrDefault(plan => plan.Approved);
            return approved == null ? null : "plan " + approved.Id + " on this structure set is " + approved.Approval + ".";
        }

        internal static IEnumerable<PlanRecord> PlansOn(Life life, StructureSetRecord set)
        {
            return life.Record.Plans.Where(plan => plan.StructureSet == set.Id);
        }

        internal static string CheckedStructureId(Life life, StructureSetRecord set, StructureRecord self, string id)
        {
            IEnumerable<string> taken = set.Structures.Where(other => other != self).Select(other => other.Id);
            return Ids.Checked(life, "structure", id, life.Settings.MaxStructureId, taken);
        }

        private string CheckedId(string id)
        {
            return CheckedStructureId(Life, Row, null, id);
        }

        private string WhyNotAdd(string dicomType, string id)
        {
            if (!DicomTypes.Contains(dicomType))
            {
                return "its DICOM type is " + dicomType + ", which is none of " + string.Join(", ", DicomTypes) + ".";
            }
            if (dicomType == "EXTERNAL" && Row.Structures.Any(structure => structure.DicomType == "EXTERNAL"))
            {
                return "there is a structure of type EXTERNAL already.";
            }
            try
            {
                CheckedId(id);
            }
            catch (ArgumentException error)
            {
                return error.Message;
            }
            return WhyLocked(Life, Row);
        }

        private string WhyNotRemove(StructureRecord structure)
        {
            if (!Row.Structures.Contains(structure))
            {
                return "it is not in this set.";
            }
            if (structure.Approved)
            {
                return "it is approved.";
            }
            PlanRecord aimed = PlansOn(Life, Row).FirstOrDefault(plan => plan.Target == structure.Id);
            return aimed == null ? WhyLocked(Life, Row) : "it is the target of plan " + aimed.Id + ".";
        }

        private void ForgetObjectives(string structureId)
        {
            foreach (PlanRecord plan in PlansOn(Life, Row))
            {
                foreach (ObjectiveRecord objective in plan.Objectives.Where(item => item.Structure == structureId).ToList())
                {
                    objective.Removed = true;
                    plan.Objectives.Remove(objective);
                }
            }
        }

        private void Rename(string wanted)
        {
            string id = Ids.Checked(
                Life, "structure set", wanted, Life.Settings.MaxStructureId,
                Life.Record.StructureSets.Where(set => set != Row).Select(set => set.Id));
            foreach (PlanRecord plan in PlansOn(Life, Row).ToList())
            {
                plan.StructureSet = id;
            }
            Row.Id = id;
        }
    }
}
