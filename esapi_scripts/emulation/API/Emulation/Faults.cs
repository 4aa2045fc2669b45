using System;
using System.Collections.Generic;

namespace Beamwright.Emulation
{
    /// <summary>What is to go wrong; null and 0 where nothing is.</summary>
    public sealed class Faults
    {
        /// <summary>"fails", "throws", "dies" or null.</summary>
        public string Optimise { get; private set; }

        /// <summary>"fails", "throws" or null.</summary>
        public string Dose { get; private set; }

        public bool LeafMotionsFail { get; private set; }

        /// <summary>The n-th objective added after the patient was opened throws; 0 is never.</summary>
        public int AddObjectiveAfter { get; private set; }

        public bool SaveThrows { get; private set; }
        public bool CopyThrows { get; private set; }

        /// <summary>The text that goes into the calculation log.</summary>
        public string Reason { get; private set; }

        internal Faults()
        {
            Reason = "The emulation was told to fail.";
        }

        internal Faults(IDictionary<string, object> given) : this()
        {
            Choice.Each(given, Take);
        }

        private void Take(string key, object value)
        {
            if (value == null)
            {
                return;
            }
            switch (key)
            {
                case "optimise": Optimise = Choice.Of(key, value, "fails", "throws", "dies"); break;
                case "dose": Dose = Choice.Of(key, value, "fails", "throws"); break;
                case "leaf_motions": LeafMotionsFail = Choice.Of(key, value, "fails") == "fails"; break;
                case "add_objective_after": AddObjectiveAfter = Json.Whole(value); break;
                case "save": SaveThrows = Choice.Of(key, value, "throws") == "throws"; break;
                case "copy": CopyThrows = Choice.Of(key, value, "throws") == "throws"; break;
                case "reason": Reason = (string)value; break;
                default: throw new ArgumentException("\"" + key + "\" is not a fault.");
            }
        }
    }
}
