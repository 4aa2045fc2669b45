using System.Collections.Generic;

namespace Beamwright
{
    /// <summary>The last value of everything that was shown; may be used from any thread.</summary>
    public sealed class SessionFacts
    {
        private readonly Dictionary<string, string> values = new Dictionary<string, string>();

        /// <summary>True if the value is another than before.</summary>
        public bool Set(string what, string value)
        {
            lock (values)
            {
                string before;
                bool same = values.TryGetValue(what, out before) && before == value;
                values[what] = value;
                return !same;
            }
        }

        /// <summary>The last value, "" before there was one.</summary>
        public string Value(string what)
        {
            lock (values)
            {
                string value;
                return values.TryGetValue(what, out value) ? value : "";
            }
        }

        /// <summary>What the agent's command line is filled in with; a refusal where the server does not answer yet.</summary>
        public IDictionary<string, string> ForAgent()
        {
            lock (values)
            {
                if (!values.ContainsKey("endpoint"))
                {
                    throw new Refusal("The server does not answer yet; wait for the endpoint to appear.");
                }
                return new Dictionary<string, string>
                {
                    { "patient", values["patient name"] },
                    { "endpoint", values["endpoint"] },
                    { "token_file", values["token file"] }
                };
            }
        }
    }
}
