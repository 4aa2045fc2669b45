using System;
using System.Collections.Generic;
using System.Globalization;
using Beamwright.Emulation;
using VMS.TPS.Common.Model.Types;

namespace VMS.TPS.Common.Model.API
{
    public abstract partial class PlanSetup
    {
        public override PlanningItemDose Dose
        {
            get { return Get("Dose", () => ShowsDose ? new PlanningItemDose(this) : null); }
        }

        public bool IsDoseValid
        {
            get { return Get("IsDoseValid", () => HasDose); }
        }

        /// <summary>A setting of the view, which needs no BeginModifications, or by switch a change of the plan like any other (?).</summary>
        public override DoseValuePresentation DoseValuePresentation
        {
            get { return Get("DoseValuePresentation", () => PlanView.Of(Record).Presentation); }
            set { Show(value); }
        }

        /// <summary>Percent; 100 is none. Which way it scales the dose is a switch.</summary>
        public double PlanNormalizationValue
        {
            get { return Get("PlanNormalizationValue", () => Record.Normalization); }
            set { Change("PlanNormalizationValue", () => Record.Normalization = Amounts.Within(value, 0.01, 10000, "PlanNormalizationValue")); }
        }

        public string PlanNormalizationMethod
        {
            get
            {
                return Get("PlanNormalizationMethod", () => Record.Normalization == 100.0
                    ? "No plan normalization"
                    : "Plan Normalization Value: " + Record.Normalization.ToString("0.##", CultureInfo.InvariantCulture) + "%");
            }
        }

        public VVector PlanNormalizationPoint
        {
            get { return Get("PlanNormalizationPoint", () => VVector.Undefined); }
        }

        public override DVHData GetDVHCumulativeData(
            Structure structure, DoseValuePresentation dosePresentation, VolumePresentation volumePresentation, double binWidth)
        {
            return Call("GetDVHCumulativeData", () =>
            {
                StructureRecord drawn = Drawn(structure, "structure");
                Amounts.Positive(binWidth, "binWidth");
                if (IsMissing(drawn, "GetDVHCumulativeData"))
                {
                    return null;
                }
                Dictionary<string, object> question = Question(drawn);
                question["bin_gy"] = binWidth * GyPerShown(dosePresentation);
                return new DVHData(this, Life.Physics.Ask("dvh", question).Header, dosePresentation, volumePresentation);
            });
        }

        public override DoseValue GetDoseAtVolume(
            Structure structure, double volume, VolumePresentation volumePresentation, DoseValuePresentation requestedDosePresentation)
        {
            return Call("GetDoseAtVolume", () =>
            {
                StructureRecord drawn = Drawn(structure, "structure");
                bool cc = volumePresentation == VolumePresentation.AbsoluteCm3;
                Amounts.Within(volume, 0, cc ? double.MaxValue : 100, "volume");
                if (IsMissing(drawn, "GetDoseAtVolume") || (cc && volume > drawn.VolumeCc))
                {
                    return DoseValue.UndefinedDose();
                }
                Dictionary<string, object> question = Question(drawn);
                question["volume"] = volume;
                question["cc"] = cc;
                return Presented(Life.Physics.Ask("dose_at_volume", question).Header.Number("gy"), requestedDosePresentation);
            });
        }

        public override double GetVolumeAtDose(Structure structure, DoseValue dose, VolumePresentation requestedVolumePresentation)
        {
            return Call("GetVolumeAtDose", () =>
            {
                StructureRecord drawn = Drawn(structure, "structure");
                double gy = GyOf(dose, "dose");
                if (IsMissing(drawn, "GetVolumeAtDose"))
                {
                    return double.NaN;
                }
                Dictionary<string, object> question = Question(drawn);
                question["gy"] = gy;
                IDictionary<string, object> answer = Life.Physics.Ask("volume_at_dose", question).Header;
                return answer.Number(requestedVolumePresentation == VolumePresentation.Relative ? "percent" : "cc");
            });
        }

        internal bool HasDose
        {
            get { return Record.DoseValid && Record.Dose != null; }
        }

        /// <summary>A valid dose or, by switch, one that no longer fits the plan.</summary>
        private bool ShowsDose
        {
            get { return HasDose || (Record.Dose != null && Life.Settings.Switches.InvalidDoseKept); }
        }

        /// <summary>What a raw dose is multiplied with.</summary>
        internal double Scale
        {
            get
            {
                return Life.Settings.Switches.NormalizationFactor ? Record.Normalization / 100.0 : 100.0 / Record.Normalization;
            }
        }

        internal DoseValuePresentation Presentation
        {
            get { return PlanView.Of(Record).Presentation; }
        }

        /// <summary>A normalised dose in Gy as it is to be shown.</summary>
        internal DoseValue Presented(double gy, DoseValuePresentation presentation)
        {
            DoseValue.DoseUnit unit = presentation == DoseValuePresentation.Relative ? DoseValue.DoseUnit.Percent : DoseUnits.Of(Life.Settings);
            return new DoseValue(gy / GyPerShown(presentation), unit);
        }

        /// <summary>One percent, or one of the site's units, in Gy. 100 % is the total dose at the prescribed percentage (?).</summary>
        internal double GyPerShown(DoseValuePresentation presentation)
        {
            if (presentation == DoseValuePresentation.Absolute)
            {
                return 1.0 / DoseUnits.PerGy(Life.Settings);
            }
            if (Record.TotalDoseGy == null)
            {
                throw new ApplicationException("Plan " + Record.Id + " has no prescription: there is no relative dose. Ask for absolute dose.");
            }
            return Record.TotalDoseGy.Value / Record.TreatmentRatio / 100.0;
        }

        /// <summary>The dose is gone or, by switch, there and no longer valid; leaf motions and fluence stay.</summary>
        internal void DropDose()
        {
            Record.DoseValid = false;
            if (!Life.Settings.Switches.InvalidDoseKept)
            {
                Record.Dose = null;
                Record.DoseKind = "";
            }
        }

        /// <summary>Leaf motions, and the dose that they give, are gone; the fluence stays.</summary>
        internal void DropLeafMotions()
        {
            DropDose();
            foreach (BeamRecord beam in Record.Beams)
            {
                beam.Mu = null;
                beam.ControlPoints = beam.Technique == "STATIC" ? 2 : beam.ControlPoints;
            }
        }

        /// <summary>The beams are no longer those that fluence, leaf motions and dose were found for.</summary>
        internal void DropCalculations()
        {
            DropLeafMotions();
            Record.Fluence = null;
        }

        private double GyOf(DoseValue dose, string parameter)
        {
            return dose.Unit == DoseValue.DoseUnit.Percent
                ? Amounts.NotNegative(dose.Dose, parameter) * GyPerShown(DoseValuePresentation.Relative)
                : DoseUnits.Gy(Life.Settings, dose, parameter);
        }

        private void Show(DoseValuePresentation presentation)
        {
            if (Life.Settings.Switches.PresentationIsModification)
            {
                Change("DoseValuePresentation", () => PlanView.Of(Record).Presentation = presentation);
                return;
            }
            Call("DoseValuePresentation", () => PlanView.Of(Record).Presentation = presentation);
        }

        private bool IsMissing(StructureRecord drawn, string member)
        {
            string missing = !ShowsDose
                ? "plan " + Record.Id + " has no valid dose"
                : drawn.Segment == null || drawn.VolumeCc <= 0 ? "structure " + drawn.Id + " is empty" : null;
            if (missing != null && Life.Settings.Switches.MissingDvhThrows)
            {
                throw new ApplicationException(member + ": " + missing + ".");
            }
            return missing != null;
        }

        private Dictionary<string, object> Question(StructureRecord drawn)
        {
            return new Dictionary<string, object>
            {
                { "patient", Life.Record.Id }, { "dose", Record.Dose }, { "segment", drawn.Segment }, { "scale", Scale },
            };
        }
    }
}
