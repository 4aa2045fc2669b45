// Read-only script for Eclipse: writes what can be read of the open plan into a JSON file. Put this one file where your
// scripts are and run it from Eclipse's Scripts dialog; it needs nothing else and changes nothing.
// It writes the ids of course, plan, beams and structures, into which people put names at times: look before you pass it
// on. The patient's id is left out unless WithPatientId, below, is made true.
// For research. Not for clinical use without the site's own commissioning.
using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Reflection;
using System.Text;
using VMS.TPS.Common.Model.API;
using VMS.TPS.Common.Model.Types;

[assembly: AssemblyVersion("0.1.0.0")]

namespace VMS.TPS
{
    /// <summary>Plan, prescription, beams, objectives and DVHs of the open plan as JSON.</summary>
    public class Script
    {
        private const string IntendedUse = "For research. Not for clinical use without the site's own commissioning.";
        private const string PathVariable = "BEAMWRIGHT_FACTS_FILE";
        private const double BinGy = 0.1;
        private static readonly bool WithPatientId = false;

        public void Execute(ScriptContext context)
        {
            PlanSetup plan = context.PlanSetup;
            if (plan == null)
            {
                Tell("No plan is open. Open a plan, then run the script again.");
                return;
            }
            string path = Environment.GetEnvironmentVariable(PathVariable);
            if (string.IsNullOrEmpty(path))
            {
                path = AskWhereToSave(plan.Id);
            }
            if (path == null)
            {
                return;
            }
            try
            {
                File.WriteAllText(path, new Json().Text(Facts(context, plan)), new UTF8Encoding(false));
                Tell("Written to " + path + ". It holds ids of course, plan, beams and structures, as people wrote them, "
                    + (WithPatientId ? "and the patient's id." : "but not the patient's id."));
            }
            catch (Exception error)
            {
                Tell("The facts could not be written: " + error.Message);
            }
        }

        private static Dictionary<string, object> Facts(ScriptContext context, PlanSetup plan)
        {
            return new Dictionary<string, object>
            {
                { "format", "beamwright-plan-facts 1" },
                { "intended_use", IntendedUse },
                { "eclipse_version", context.VersionInfo },
                { "patient_id", WithPatientId ? context.Patient.Id : null },
                { "course_id", plan.Course.Id },
                { "plan_id", plan.Id },
                { "approval", plan.ApprovalStatus.ToString() },
                { "orientation", plan.TreatmentOrientation.ToString() },
                { "structure_set_id", plan.StructureSet == null ? null : plan.StructureSet.Id },
                { "prescription", Prescription(plan) },
                { "normalization_percent_eclipse", plan.PlanNormalizationValue },
                { "dose", Dose(plan) },
                { "beams", Each(plan.Beams, beam => beam.Id, Beam) },
                { "objectives", Objectives(plan) },
                { "structures", Structures(plan) }
            };
        }

        // What cannot be read of one thing costs neither the others nor the file: it says "error" there.
        private static object[] Each<T>(IEnumerable<T> things, Func<T, string> idOf, Func<T, Dictionary<string, object>> read)
        {
            return things.Select(thing => (object)ReadOrError(thing, idOf, read)).ToArray();
        }

        private static Dictionary<string, object> ReadOrError<T>(
            T thing, Func<T, string> idOf, Func<T, Dictionary<string, object>> read)
        {
            string id = null;
            try
            {
                id = idOf(thing);
                return read(thing);
            }
            catch (Exception error)
            {
                return new Dictionary<string, object> { { "id", id }, { "error", error.Message } };
            }
        }

        private static Dictionary<string, object> Prescription(PlanSetup plan)
        {
            return new Dictionary<string, object>
            {
                { "total_dose_gy", Gy(plan.TotalDose) },
                { "dose_per_fraction_gy", Gy(plan.DosePerFraction) },
                { "fractions", plan.NumberOfFractions },
                { "target_structure_id", plan.TargetVolumeID }
            };
        }

        private static Dictionary<string, object> Dose(PlanSetup plan)
        {
            return new Dictionary<string, object>
            {
                { "valid", plan.IsDoseValid },
                { "model", plan.PhotonCalculationModel },
                { "site_unit", plan.TotalDose.UnitAsString },
                { "max_gy", HasDose(plan) ? AbsoluteMaximum(plan) : null }
            };
        }

        // Dose.DoseMax3D speaks in the presentation that is chosen on the screen; in percent it is of the total dose.
        private static object AbsoluteMaximum(PlanSetup plan)
        {
            DoseValue found = plan.Dose.DoseMax3D;
            if (!found.IsRelativeDoseValue)
            {
                return Gy(found);
            }
            object total = Gy(plan.TotalDose);
            return total == null ? null : (object)(found.Dose / 100.0 * (double)total);
        }

        private static Dictionary<string, object> Beam(Beam beam)
        {
            VVector isocentre = beam.IsocenterPosition;
            var facts = new Dictionary<string, object>
            {
                { "id", beam.Id },
                { "number", beam.BeamNumber },
                { "set_up_field", beam.IsSetupField },
                { "machine_id", beam.TreatmentUnit == null ? null : beam.TreatmentUnit.Id },
                { "energy", beam.EnergyModeDisplayName },
                { "gantry_direction", beam.GantryDirection.ToString() },
                { "isocentre_dicom_mm", new object[] { isocentre.x, isocentre.y, isocentre.z } },
                { "mu", beam.Meterset.Unit == DosimeterUnit.MU ? (object)beam.Meterset.Value : null },
                { "control_points", beam.ControlPoints.Count }
            };
            if (beam.ControlPoints.Count > 0)
            {
                ControlPoint first = beam.ControlPoints.First();
                facts["gantry_deg"] = first.GantryAngle;
                facts["gantry_stop_deg"] = beam.ControlPoints.Last().GantryAngle;
                facts["collimator_deg"] = first.CollimatorAngle;
                facts["couch_deg"] = first.PatientSupportAngle;
                facts["jaws_x1_y1_x2_y2_mm"] = Jaws(first.JawPositions);
            }
            return facts;
        }

        private static object[] Jaws(VRect<double> jaws)
        {
            return new object[] { jaws.X1, jaws.Y1, jaws.X2, jaws.Y2 };
        }

        private static object[] Objectives(PlanSetup plan)
        {
            if (plan.OptimizationSetup == null)
            {
                return new object[0];
            }
            return Each(plan.OptimizationSetup.Objectives, objective => objective.StructureId, Objective)
                .Concat(Each(
                    plan.OptimizationSetup.Parameters.OfType<OptimizationNormalTissueParameter>(), parameter => null, NormalTissue))
                .ToArray();
        }

        private static Dictionary<string, object> Objective(OptimizationObjective objective)
        {
            var facts = new Dictionary<string, object>
            {
                { "kind", objective.GetType().Name },
                { "structure_id", objective.StructureId },
                { "operator", objective.Operator.ToString() },
                { "priority", objective.Priority }
            };
            var point = objective as OptimizationPointObjective;
            if (point != null)
            {
                facts["dose_gy"] = Gy(point.Dose);
                facts["volume_as_eclipse_says"] = point.Volume;
            }
            var mean = objective as OptimizationMeanDoseObjective;
            if (mean != null)
            {
                facts["dose_gy"] = Gy(mean.Dose);
            }
            var equivalent = objective as OptimizationEUDObjective;
            if (equivalent != null)
            {
                facts["dose_gy"] = Gy(equivalent.Dose);
                facts["a"] = equivalent.ParameterA;
            }
            return facts;
        }

        private static Dictionary<string, object> NormalTissue(OptimizationNormalTissueParameter parameter)
        {
            return new Dictionary<string, object>
            {
                { "kind", "OptimizationNormalTissueParameter" },
                { "priority", parameter.Priority },
                { "automatic", parameter.IsAutomatic },
                { "distance_mm", parameter.DistanceFromTargetBorderInMM },
                { "start_percent", parameter.StartDosePercentage },
                { "end_percent", parameter.EndDosePercentage },
                { "fall_off", parameter.FallOff }
            };
        }

        private static object[] Structures(PlanSetup plan)
        {
            return plan.StructureSet == null
                ? new object[0]
                : Each(plan.StructureSet.Structures, structure => structure.Id, structure => Structure(plan, structure));
        }

        private static Dictionary<string, object> Structure(PlanSetup plan, Structure structure)
        {
            var facts = new Dictionary<string, object>
            {
                { "id", structure.Id },
                { "dicom_type", structure.DicomType },
                { "empty", structure.IsEmpty },
                { "volume_cc", structure.IsEmpty ? null : (object)structure.Volume }
            };
            DVHData dvh = structure.IsEmpty || !HasDose(plan) ? null : Dvh(plan, structure, facts);
            if (dvh != null)
            {
                facts["coverage_as_eclipse_says"] = dvh.Coverage;
                facts["min_gy"] = Gy(dvh.MinDose);
                facts["mean_gy"] = Gy(dvh.MeanDose);
                facts["max_gy"] = Gy(dvh.MaxDose);
                facts["dvh_dose_gy"] = dvh.CurveData.Select(point => Gy(point.DoseValue)).ToArray();
                facts["dvh_volume_percent"] = dvh.CurveData.Select(point => (object)point.Volume).ToArray();
            }
            return facts;
        }

        private static DVHData Dvh(PlanSetup plan, Structure structure, Dictionary<string, object> facts)
        {
            bool inCGy = plan.TotalDose.Unit == DoseValue.DoseUnit.cGy;
            try
            {
                return plan.GetDVHCumulativeData(
                    structure, DoseValuePresentation.Absolute, VolumePresentation.Relative, inCGy ? 100 * BinGy : BinGy);
            }
            catch (Exception error)
            {
                facts["error"] = "no DVH: " + error.Message;
                return null;
            }
        }

        private static bool HasDose(PlanSetup plan)
        {
            return plan.IsDoseValid && plan.Dose != null;
        }

        private static object Gy(DoseValue dose)
        {
            switch (dose.Unit)
            {
                case DoseValue.DoseUnit.Gy:
                    return dose.Dose;
                case DoseValue.DoseUnit.cGy:
                    return dose.Dose / 100.0;
                default:
                    return null;
            }
        }

#if WITHOUT_WPF
        private static string AskWhereToSave(string planId)
        {
            return null;
        }

        private static void Tell(string sentence)
        {
            Console.WriteLine(sentence);
        }
#else
        private static string AskWhereToSave(string planId)
        {
            var dialog = new Microsoft.Win32.SaveFileDialog
            {
                Title = "Where to write the facts of the plan",
                Filter = "JSON file (*.json)|*.json",
                FileName = string.Concat(planId.Split(Path.GetInvalidFileNameChars())) + ".json"
            };
            return dialog.ShowDialog() == true ? dialog.FileName : null;
        }

        private static void Tell(string sentence)
        {
            System.Windows.MessageBox.Show(sentence, "Plan facts");
        }
#endif

        /// <summary>Writes dictionaries, arrays, texts, numbers and truth values; what is no number becomes null.</summary>
        private sealed class Json
        {
            private readonly StringBuilder text = new StringBuilder();

            public string Text(object value)
            {
                Write(value, "\n");
                return text.Append('\n').ToString();
            }

            private void Write(object value, string newLine)
            {
                var members = value as Dictionary<string, object>;
                var items = value as object[];
                if (members != null)
                {
                    WriteMembers(members, newLine);
                }
                else if (items != null)
                {
                    WriteItems(items, newLine);
                }
                else
                {
                    text.Append(Scalar(value));
                }
            }

            private void WriteMembers(Dictionary<string, object> members, string newLine)
            {
                string between = "{" + newLine + "  ";
                foreach (KeyValuePair<string, object> member in members)
                {
                    text.Append(between).Append(Quoted(member.Key)).Append(": ");
                    Write(member.Value, newLine + "  ");
                    between = "," + newLine + "  ";
                }
                text.Append(newLine).Append('}');
            }

            private void WriteItems(object[] items, string newLine)
            {
                bool ofNumbers = items.All(item => !(item is Dictionary<string, object>));
                string inner = ofNumbers ? "" : newLine + "  ";
                string between = "[" + inner;
                foreach (object item in items)
                {
                    text.Append(between);
                    Write(item, newLine + "  ");
                    between = "," + (ofNumbers ? " " : inner);
                }
                text.Append(items.Length == 0 ? "[]" : (ofNumbers ? "" : newLine) + "]");
            }

            private static string Scalar(object value)
            {
                if (value is string)
                {
                    return Quoted((string)value);
                }
                if (value is bool)
                {
                    return (bool)value ? "true" : "false";
                }
                if (value is int)
                {
                    return ((int)value).ToString(CultureInfo.InvariantCulture);
                }
                return value is double && !double.IsNaN((double)value) && !double.IsInfinity((double)value)
                    ? ((double)value).ToString("R", CultureInfo.InvariantCulture)
                    : "null";
            }

            private static string Quoted(string plain)
            {
                var quoted = new StringBuilder("\"");
                foreach (char letter in plain)
                {
                    if (letter == '"' || letter == '\\')
                    {
                        quoted.Append('\\').Append(letter);
                    }
                    else if (letter < ' ' || char.IsSurrogate(letter) || letter == '\u2028' || letter == '\u2029')
                    {
                        quoted.Append("\\u").Append(((int)letter).ToString("x4", CultureInfo.InvariantCulture));
                    }
                    else
                    {
                        quoted.Append(letter);
                    }
                }
                return quoted.Append('"').ToString();
            }
        }
    }
}
