using System.Collections.Generic;
using System.Linq;
using System.Text;

namespace Beamwright
{
    /// <summary>
    /// The command line that starts the agent. It is cut into words first and filled in then, so that a value with
    /// blanks in it stays one word.
    /// </summary>
    public sealed class AgentCommand
    {
        private static readonly string[] Places = { "patient", "endpoint", "token_file" };

        private readonly List<string> words;

        /// <param name="line">As in the configuration file; a word with blanks stands in double quotes.</param>
        public AgentCommand(string line)
        {
            words = Words(line);
            if (words.Count > 0 && words[0].Length == 0)
            {
                throw new Refusal("[agent] command = '" + line + "' begins with an empty program; leave it empty for none.");
            }
            foreach (string word in words)
            {
                RefuseUnknownPlaces(word);
            }
        }

        public bool IsEmpty
        {
            get { return words.Count == 0; }
        }

        public string Program
        {
            get { return words[0]; }
        }

        /// <summary>Everything behind the program, filled in and quoted.</summary>
        public string Arguments(IDictionary<string, string> values)
        {
            return string.Join(" ", words.Skip(1).Select(word => Quoted(Filled(word, values))));
        }

        private static List<string> Words(string line)
        {
            var found = new List<string>();
            var word = new StringBuilder();
            bool quoted = false, begun = false;
            foreach (char letter in line)
            {
                if (letter == '"')
                {
                    quoted = !quoted;
                    begun = true;
                }
                else if (letter == ' ' && !quoted)
                {
                    if (begun)
                    {
                        found.Add(word.ToString());
                    }
                    word.Clear();
                    begun = false;
                }
                else
                {
                    word.Append(letter);
                    begun = true;
                }
            }
            if (quoted)
            {
                throw new Refusal("[agent] command = '" + line + "': a double quote is never closed.");
            }
            if (begun)
            {
                found.Add(word.ToString());
            }
            return found;
        }

        private static void RefuseUnknownPlaces(string word)
        {
            string rest = Places.Aggregate(word, (left, place) => left.Replace("{" + place + "}", ""));
            if (rest.Contains("{") || rest.Contains("}"))
            {
                throw new Refusal("[agent] command has '" + word + "'; what can be filled in is {"
                    + string.Join("}, {", Places) + "}.");
            }
        }

        private static string Filled(string word, IDictionary<string, string> values)
        {
            return Places.Aggregate(word, (left, place) => left.Replace("{" + place + "}", values[place]));
        }

        private static string Quoted(string word)
        {
            if (word.Length > 0 && word.IndexOfAny(new[] { ' ', '\t', '"' }) < 0)
            {
                return word;
            }
            var quoted = new StringBuilder("\"");
            int backslashes = 0;
            foreach (char letter in word)
            {
                if (letter == '"')
                {
                    quoted.Append('\\', backslashes + 1);
                }
                backslashes = letter == '\\' ? backslashes + 1 : 0;
                quoted.Append(letter);
            }
            return quoted.Append('\\', backslashes).Append('"').ToString();
        }
    }
}
