using System.Collections.Generic;
using System.Linq;

namespace Beamwright.EmulatedEclipse
{
    /// <summary>The command line.</summary>
    public sealed class Options
    {
        private static readonly string[] Known = { "patient", "plugin", "course", "plan", "runs", "after", "stay" };
        private static readonly string[] Endings = { "save", "discard", "nothing" };

        private Options(IDictionary<string, string> given)
        {
            Patient = given["patient"];
            Course = given.ContainsKey("course") ? given["course"] : "";
            Plan = given.ContainsKey("plan") ? given["plan"] : "";
            PlugIn = given["plugin"];
            Runs = given.ContainsKey("runs") ? int.Parse(given["runs"]) : 1;
            StaySeconds = given.ContainsKey("stay") ? int.Parse(given["stay"]) : 0;
            After = given.ContainsKey("after") ? given["after"] : "nothing";
        }

        public string Patient { get; }

        /// <summary>Empty where no plan is open.</summary>
        public string Course { get; }

        public string Plan { get; }

        public string PlugIn { get; }

        /// <summary>How often the person starts the script.</summary>
        public int Runs { get; }

        /// <summary>How long Eclipse is looked at after the script's last run.</summary>
        public int StaySeconds { get; }

        /// <summary>What the person does in the end: save, discard or nothing.</summary>
        public string After { get; }

        /// <summary>Null where the arguments cannot be understood.</summary>
        public static Options Of(string[] arguments)
        {
            var given = new Dictionary<string, string>();
            for (int index = 0; index + 1 < arguments.Length; index += 2)
            {
                given[arguments[index].TrimStart('-')] = arguments[index + 1];
            }
            int number;
            bool understood = arguments.Length % 2 == 0
                && given.Keys.All(Known.Contains)
                && Known.Take(2).All(given.ContainsKey)
                && new[] { "runs", "stay" }.All(key => !given.ContainsKey(key) || int.TryParse(given[key], out number))
                && (!given.ContainsKey("after") || Endings.Contains(given["after"]));
            return understood ? new Options(given) : null;
        }
    }
}
