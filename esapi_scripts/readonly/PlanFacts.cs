// Read-only script for Eclipse: writes what can be read of the open plan into a JSON file. Put this one file where your
// scripts are and run it from Eclipse's Scripts dialog; it needs nothing else and changes nothing.
// It writes ids, never names of people. For research. Not for clinical use without the site's own commissioning.
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
                Tell("Written to " + path + ". It holds ids, doses and volumes, but no names.");
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
                { "patient_id", context.Patient.Id },
                { "course_id", plan.Course.Id },
                { "plan_id", plan.Id },
                { "approval", plan.ApprovalStatus.ToString() },
                { "orientation", plan.TreatmentOrientation.ToString() },
                { "structure_set_id", plan.StructureSet == null ? null : plan.StructureSet.Id },
                { "prescription", Prescription(plan) },
                { "normalization_percent_eclipse", plan.PlanNormalizationValue },
                { "dose", Dose(plan) },
                { "beams", plan.Beams.Select(Beam).ToArray() },
                { "objectives", Objectives(plan) },
                { "structures", Structures(plan) }
            };
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
            ControlPoint first = beam.ControlPoints.First();
            ControlPoint last = beam.ControlPoints.Last();
            VVector isocentre = beam.IsocenterPosition;
            return new Dictionary<string, object>
            {
                { "id", beam.Id },
                { "number", beam.BeamNumber },
                { "set_up_field", beam.IsSetupField },
                { "machine_id", beam.TreatmentUnit == null ? null : beam.TreatmentUnit.Id },
                { "energy", beam.EnergyModeDisplayName },
                { "gantry_deg", first.GantryAngle },
                { "gantry_stop_deg", last.GantryAngle },
                { "gantry_direction", beam.GantryDirection.ToString() },
                { "collimator_deg", first.CollimatorAngle },
                { "couch_deg", first.PatientSupportAngle },
                { "isocentre_dicom_mm", new object[] { isocentre.x, isocentre.y, isocentre.z } },
                { "jaws_x1_y1_x2_y2_mm", Jaws(first.JawPositions) },
                { "mu", beam.Meterset.Unit == DosimeterUnit.MU ? (object)beam.Meterset.Value : null },
                { "control_points", beam.ControlPoints.Count }
            };
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
            IEnumerable<object> objectives = plan.OptimizationSetup.Objectives.Select(Objective);
            IEnumerable<object> normalTissue = plan.OptimizationSetup.Parameters
                .OfType<OptimizationNormalTissueParameter>().Select(NormalTissue);
            return objectives.Concat(normalTissue).ToArray();
        }

        private static object Objective(OptimizationObjective objective)
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

        private static object NormalTissue(OptimizationNormalTissueParameter parameter)
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
                : plan.StructureSet.Structures.Select(structure => Structure(plan, structure)).ToArray();
        }

        private static object Structure(PlanSetup plan, Structure structure)
        {
            var facts = new Dictionary<string, object>
            {
                { "id", structure.Id },
                { "dicom_type", structure.DicomType },
                { "empty", structure.IsEmpty },
                { "volume_cc", structure.IsEmpty ? null : (object)structure.Volume }
            };
            DVHData dvh = structure.IsEmpty || !HasDose(plan) ? null : Dvh(plan, structure);
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

        private static DVHData Dvh(PlanSetup plan, Structure structure)
        {
            bool inCGy = plan.TotalDose.Unit == DoseValue.DoseUnit.cGy;
            try
            {
                return plan.GetDVHCumulativeData(
                    structure, DoseValuePresentation.Absolute, VolumePresentation.Relative, inCGy ? 100 * BinGy : BinGy);
            }
            catch (Exception)
            {
                return null; // some structures have no DVH; the file then shows none for them
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
