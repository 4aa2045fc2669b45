using System;
using System.Collections.Generic;
using System.IO;
using System.Text;
using System.Web.Script.Serialization;

namespace Beamwright.EmulatedEclipse
{
    /// <summary>What happens, as JSON objects, one a line; what the plug-in prints is among them.</summary>
    public sealed class Report
    {
        private readonly TextWriter output;
        private readonly JavaScriptSerializer json = new JavaScriptSerializer();

        public Report(TextWriter output)
        {
            this.output = output;
        }

        /// <summary>One event, with names and values in turn.</summary>
        public void Tell(string happened, params object[] namesAndValues)
        {
            var content = new Dictionary<string, object> { { "event", happened } };
            for (int index = 0; index + 1 < namesAndValues.Length; index += 2)
            {
                content[(string)namesAndValues[index]] = namesAndValues[index + 1];
            }
            lock (json)
            {
                output.WriteLine(json.Serialize(content));
                output.Flush();
            }
        }

        /// <summary>A writer whose lines become events.</summary>
        public TextWriter ForPlugIn()
        {
            return TextWriter.Synchronized(new Lines(line => Tell("plug-in", "line", line)));
        }

        private sealed class Lines : TextWriter
        {
            private readonly Action<string> tell;
            private readonly StringBuilder line = new StringBuilder();

            public Lines(Action<string> tell)
            {
                this.tell = tell;
            }

            public override Encoding Encoding
            {
                get { return Encoding.UTF8; }
            }

            public override void Write(char letter)
            {
                if (letter == '\n')
                {
                    tell(line.ToString().TrimEnd('\r'));
                    line.Clear();
                }
                else
                {
                    line.Append(letter);
                }
            }
        }
    }
}
