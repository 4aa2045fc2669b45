using System;
using System.Linq;
using System.Threading;

namespace Beamwright
{
    /// <summary>
    /// The window of a machine without a display: lines on standard output. The line "close" on standard input, or its
    /// end, closes it; "start" starts the agent.
    /// </summary>
    public sealed class ConsoleWindow : ISessionWindow, IDisposable
    {
        private static readonly object Turn = new object();
        private static ConsoleWindow open;
        private static Thread reader;

        private readonly bool eclipseStaysUsable;
        private readonly AgentProcess agent;
        private readonly SessionFacts facts = new SessionFacts();
        private volatile bool closed;

        public ConsoleWindow(Settings settings)
        {
            eclipseStaysUsable = settings.EclipseStaysUsable;
            agent = new AgentProcess(settings, Say);
            lock (Turn)
            {
                open = this;
                if (reader == null)
                {
                    reader = new Thread(Listen) { IsBackground = true, Name = "console" };
                    reader.Start();
                }
            }
        }

        public bool Closed
        {
            get { return closed; }
        }

        public void Say(string line)
        {
            lock (Turn)
            {
                Console.WriteLine(line);
                Console.Out.Flush();
            }
        }

        public void Show(string what, string value)
        {
            string before = facts.Value(what);
            if (!facts.Set(what, value))
            {
                return;
            }
            foreach (string line in value.Split('\n').Except(before.Split('\n')))
            {
                Say(what + ": " + line);
            }
        }

        public void Breathe()
        {
            if (eclipseStaysUsable && !EclipseWindow.TakeTurn(Say))
            {
                closed = true;
            }
        }

        /// <summary>Ends the session as the line "close" does.</summary>
        public void Close()
        {
            closed = true;
        }

        public void Dispose()
        {
            lock (Turn)
            {
                open = null;
            }
            agent.EndWithin(TimeSpan.FromSeconds(10));
        }

        private static void Listen()
        {
            string line;
            while ((line = Console.In.ReadLine()) != null)
            {
                ConsoleWindow window = open;
                if (window != null)
                {
                    Careful.Do(window.Say, "do that", () => window.Obey(line.Trim()));
                }
            }
            ConsoleWindow last = open;
            reader = null;
            if (last != null)
            {
                last.Close();
            }
        }

        private void Obey(string word)
        {
            switch (word)
            {
                case "":
                    break;
                case "close":
                    Close();
                    break;
                case "start":
                    StartAgent();
                    break;
                default:
                    Say("'" + word + "' is not understood; close ends the session, start starts the agent.");
                    break;
            }
        }

        private void StartAgent()
        {
            Careful.Do(Say, "start the agent", () =>
            {
                agent.Start(facts.ForAgent());
                Say("The agent has started.");
            });
        }
    }
}
