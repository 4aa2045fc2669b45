using System;
using System.Collections.Generic;

namespace Beamwright.Emulation
{
    /// <summary>Facts about ESAPI of which nobody here is certain: each can be emulated both ways.</summary>
    public sealed class Switches
    {
        /// <summary>AddPointObjective's volume is a ratio 0..1 and not percent.</summary>
        public bool PointVolumeRatio { get; private set; }

        /// <summary>PlanNormalizationValue multiplies the dose and does not name the isodose that becomes 100 %.</summary>
        public bool NormalizationFactor { get; private set; }

        public bool CopyObjectives { get; private set; }
        public bool CopyDose { get; private set; }

        /// <summary>An Optimize leaves an intermediate dose behind.</summary>
        public bool IntermediateDose { get; private set; }

        public bool MissingDvhThrows { get; private set; }

        /// <summary>A locked patient says so in CanModifyData; otherwise only BeginModifications tells.</summary>
        public bool LockedCannotModify { get; private set; }

        public bool LongIdTruncates { get; private set; }

        /// <summary>Largest margin of one call in mm; 0 is no limit.</summary>
        public double MarginLimitMm { get; private set; }

        public bool MixedResolutionConverts { get; private set; }

        /// <summary>Origin of an image and a dose is the corner of voxel (0,0,0) and not its centre.</summary>
        public bool OriginAtCorner { get; private set; }

        public double VoxelOffset { get; private set; }
        public bool BufferIgnored { get; private set; }
        public bool Trace { get; private set; }

        /// <summary>The scale of angles that the API speaks: IEC61217, VarianIEC or VarianStandard.</summary>
        public string Angles { get; private set; }

        public bool StaleAfterClose { get; private set; }

        /// <summary>The structure set of an approved plan may be edited.</summary>
        public bool ApprovedSetOpen { get; private set; }

        /// <summary>What was read before a save is dead after it, but for the patient itself.</summary>
        public bool DeadAfterSave { get; private set; }

        /// <summary>A dose that no longer fits its plan is still there, and only IsDoseValid tells.</summary>
        public bool InvalidDoseKept { get; private set; }

        /// <summary>DoseValuePresentation is written like any other member, and not a setting of the view.</summary>
        public bool PresentationIsModification { get; private set; }

        /// <summary>NumberOfIMRTOptimizerIterations counts on over continued optimizations.</summary>
        public bool IterationsCumulative { get; private set; }

        /// <summary>A Dose keeps the presentation that the plan had when it was read.</summary>
        public bool DoseAsFetched { get; private set; }

        /// <summary>GetOptimalFluence throws for a beam without fluence.</summary>
        public bool NoFluenceThrows { get; private set; }

        private string _noModifications = "ApplicationException";
        private string _wrongThread = "ApplicationException";

        internal Switches()
        {
            CopyObjectives = true;
            CopyDose = true;
            Angles = Emulation.Angles.Iec61217;
            MarginLimitMm = 50;
            Trace = true;
        }

        internal Switches(IDictionary<string, object> given) : this()
        {
            Choice.Each(given, Take);
        }

        internal Exception NoModifications(string message)
        {
            return Thrown(_noModifications, message);
        }

        internal Exception WrongThread(string message)
        {
            return Thrown(_wrongThread, message);
        }

        private void Take(string key, object value)
        {
            switch (key)
            {
                case "point_volume": PointVolumeRatio = Choice.Of(key, value, "percent", "ratio") == "ratio"; break;
                case "normalization": NormalizationFactor = Choice.Of(key, value, "isodose", "factor") == "factor"; break;
                case "copy_objectives": CopyObjectives = (bool)value; break;
                case "copy_dose": CopyDose = (bool)value; break;
                case "optimise_leaves": IntermediateDose = Choice.Of(key, value, "nothing", "intermediate") == "intermediate"; break;
                case "missing_dvh": MissingDvhThrows = Choice.Of(key, value, "null", "throws") == "throws"; break;
                case "no_modifications": _noModifications = ExceptionName(key, value); break;
                case "wrong_thread": _wrongThread = ExceptionName(key, value); break;
                case "locked_begin": LockedCannotModify = Choice.Of(key, value, "throws", "cannot_modify") == "cannot_modify"; break;
                case "long_id": LongIdTruncates = Choice.Of(key, value, "throws", "truncates") == "truncates"; break;
                case "margin_limit": MarginLimitMm = Json.Number(value); break;
                case "mixed_resolution": MixedResolutionConverts = Choice.Of(key, value, "throws", "converts") == "converts"; break;
                case "dose_origin": OriginAtCorner = Choice.Of(key, value, "centre", "corner") == "corner"; break;
                case "voxel_offset": VoxelOffset = Json.Number(value); break;
                case "buffer": BufferIgnored = Choice.Of(key, value, "throws", "ignores") == "ignores"; break;
                case "trace": Trace = (bool)value; break;
                case "angles": Angles = Choice.Of(key, value, Emulation.Angles.Scales); break;
                case "after_close": StaleAfterClose = Choice.Of(key, value, "throws", "stale") == "stale"; break;
                case "approved_set": ApprovedSetOpen = Choice.Of(key, value, "locked", "open") == "open"; break;
                case "after_save": DeadAfterSave = Choice.Of(key, value, "live", "dead") == "dead"; break;
                case "invalid_dose": InvalidDoseKept = Choice.Of(key, value, "null", "kept") == "kept"; break;
                case "presentation": PresentationIsModification = Choice.Of(key, value, "view", "modification") == "modification"; break;
                case "iterations": IterationsCumulative = Choice.Of(key, value, "per_call", "cumulative") == "cumulative"; break;
                case "dose_object": DoseAsFetched = Choice.Of(key, value, "live", "as_fetched") == "as_fetched"; break;
                case "no_fluence": NoFluenceThrows = Choice.Of(key, value, "null", "throws") == "throws"; break;
                default: throw new ArgumentException("\"" + key + "\" is not a switch.");
            }
        }

        private static string ExceptionName(string key, object value)
        {
            return Choice.Of(key, value, "ApplicationException", "InvalidOperationException");
        }

        private static Exception Thrown(string name, string message)
        {
            if (name == "InvalidOperationException")
            {
                return new InvalidOperationException(message);
            }
            return new ApplicationException(message);
        }
    }
}
