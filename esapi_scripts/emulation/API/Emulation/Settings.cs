using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;

namespace Beamwright.Emulation
{
    /// <summary>The emulated site and its behaviour, read from the JSON file that BEAMWRIGHT_EMULATION names.</summary>
    public sealed class Settings
    {
        /// <summary>The environment variable that names the file.</summary>
        public const string Variable = "BEAMWRIGHT_EMULATION";

        public string[] Physics { get; private set; }
        public string DoseUnit { get; private set; }
        public int GetterMs { get; private set; }
        public double OptimiseSeconds { get; private set; }
        public string User { get; private set; }
        public IDictionary<string, string> LockedBy { get; private set; }
        public IDictionary<string, List<string>> Models { get; private set; }
        public IDictionary<string, MachineSettings> Machines { get; private set; }
        public IList<int> DoseRates { get; private set; }

        /// <summary>By dose model: the key of the calculation option that holds the grid.</summary>
        public IDictionary<string, string> GridOption { get; private set; }

        public int MaxPlanId { get; private set; }
        public int MaxCourseId { get; private set; }
        public int MaxStructureId { get; private set; }
        public int MaxBeamId { get; private set; }
        public Switches Switches { get; private set; }
        public Faults Faults { get; private set; }

        private Settings()
        {
            DoseUnit = "Gy";
            User = "emulated\\planner";
            LockedBy = new Dictionary<string, string>();
            Models = VersionProfile.Models();
            Machines = new Dictionary<string, MachineSettings> { { "TrueBeam1", MachineSettings.Usual() } };
            DoseRates = new List<int> { 600 };
            GridOption = VersionProfile.GridOption();
            MaxPlanId = 13;
            MaxCourseId = 16;
            MaxStructureId = 16;
            MaxBeamId = 16;
            Switches = new Switches();
            Faults = new Faults();
        }

        /// <summary>The file's settings; the defaults where the variable is not set.</summary>
        public static Settings Read()
        {
            string path = Environment.GetEnvironmentVariable(Variable);
            return string.IsNullOrEmpty(path) ? new Settings() : Parse(File.ReadAllText(path), path);
        }

        /// <summary>The settings in a JSON text; `source` is named in what is wrong with it.</summary>
        public static Settings Parse(string text, string source)
        {
            var settings = new Settings();
            try
            {
                Choice.Each(Json.Parse(text), settings.Take);
            }
            catch (Exception error) when (error is InvalidCastException || error is ArgumentException)
            {
                throw new ArgumentException("Emulation settings in " + source + ": " + error.Message, error);
            }
            return settings;
        }

        private void Take(string key, object value)
        {
            switch (key)
            {
                case "physics": Physics = Json.Texts(value).ToArray(); break;
                case "dose_unit": DoseUnit = Choice.Of(key, value, "Gy", "cGy"); break;
                case "getter_ms": GetterMs = Json.Whole(value); break;
                case "optimise_seconds": OptimiseSeconds = Json.Number(value); break;
                case "user": User = (string)value; break;
                case "locked_by": LockedBy = Json.Object(value).ToDictionary(e => e.Key, e => (string)e.Value); break;
                case "models": TakeModels(Json.Object(value)); break;
                case "machines": Machines = Json.Object(value).ToDictionary(e => e.Key, e => new MachineSettings(Json.Object(e.Value))); break;
                case "dose_rates": DoseRates = Json.Wholes(value).ToList(); break;
                case "grid_option": GridOption = Json.Object(value).ToDictionary(e => e.Key, e => (string)e.Value); break;
                case "max_plan_id": MaxPlanId = Json.Whole(value); break;
                case "max_course_id": MaxCourseId = Json.Whole(value); break;
                case "max_structure_id": MaxStructureId = Json.Whole(value); break;
                case "max_beam_id": MaxBeamId = Json.Whole(value); break;
                case "switches": Switches = new Switches(Json.Object(value)); break;
                case "faults": Faults = new Faults(Json.Object(value)); break;
                default: throw new ArgumentException("\"" + key + "\" is not a setting.");
            }
        }

        private void TakeModels(IDictionary<string, object> given)
        {
            Choice.Each(given, (type, models) => Models[type] = Json.Texts(models));
        }
    }
}
