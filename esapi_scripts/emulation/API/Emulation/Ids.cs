using System;
using System.Collections.Generic;
using System.Linq;

namespace Beamwright.Emulation
{
    /// <summary>What an id may be: not empty, not too long, not taken (Eclipse does not tell a from A).</summary>
    internal static class Ids
    {
        /// <summary>The id to store, or an exception that says what is wrong with the wanted one.</summary>
        public static string Checked(Life life, string kind, string wanted, int longest, IEnumerable<string> taken)
        {
            if (string.IsNullOrWhiteSpace(wanted))
            {
                throw new ArgumentException("The id of a " + kind + " cannot be empty.");
            }
            string id = Fitted(life, kind, wanted, longest);
            if (taken.Contains(id, StringComparer.OrdinalIgnoreCase))
            {
                throw new ArgumentException("There is a " + kind + " with id " + id + " already.");
            }
            return id;
        }

        /// <summary>The first of stem1, stem2, ... that is not taken, within the length.</summary>
        public static string Free(string stem, int longest, IEnumerable<string> taken)
        {
            var used = new HashSet<string>(taken, StringComparer.OrdinalIgnoreCase);
            for (int number = 1; ; number++)
            {
                string tail = number.ToString();
                string id = stem.Substring(0, Math.Min(stem.Length, longest - tail.Length)) + tail;
                if (!used.Contains(id))
                {
                    return id;
                }
            }
        }

        private static string Fitted(Life life, string kind, string wanted, int longest)
        {
            if (wanted.Length <= longest)
            {
                return wanted;
            }
            if (life.Settings.Switches.LongIdTruncates)
            {
                return wanted.Substring(0, longest);
            }
            throw new ArgumentException(
                "The id " + wanted + " of a " + kind + " has " + wanted.Length + " characters; at most " + longest + " are allowed.");
        }
    }
}
