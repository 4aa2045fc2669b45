using System.Collections.Generic;

namespace Beamwright.Emulation
{
    /// <summary>The names of the members that were called, while somebody wants them.</summary>
    internal static class ApiTrace
    {
        private static readonly List<string> Calls = new List<string>();

        public static volatile bool Enabled;

        public static void Note(string member)
        {
            if (Enabled)
            {
                lock (Calls)
                {
                    Calls.Add(member);
                }
            }
        }

        /// <summary>What was called, oldest first; the list starts anew.</summary>
        public static List<string> Take()
        {
            lock (Calls)
            {
                var taken = new List<string>(Calls);
                Calls.Clear();
                return taken;
            }
        }
    }
}
