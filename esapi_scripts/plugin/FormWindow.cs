using System;
using System.Collections.Generic;
using System.Threading;
using System.Windows.Forms;

namespace Beamwright
{
    /// <summary>
    /// The session's window on a thread of its own, so that it answers while Eclipse calculates. It outlives the
    /// session: the last sentence stays until the person closes it.
    /// </summary>
    public sealed class FormWindow : ISessionWindow, IDisposable
    {
        private readonly bool eclipseStaysUsable;
        private readonly AgentProcess agent;
        private readonly SessionFacts facts = new SessionFacts();
        private readonly ManualResetEventSlim opened = new ManualResetEventSlim();
        private SessionForm form;
        private Exception failure;
        private volatile bool closed;

        public FormWindow(Settings settings)
        {
            eclipseStaysUsable = settings.EclipseStaysUsable;
            agent = new AgentProcess(settings, Say);
            var thread = new Thread(Live) { IsBackground = true, Name = "beamwright window" };
            thread.SetApartmentState(ApartmentState.STA);
            thread.Start();
            opened.Wait();
            if (failure != null)
            {
                throw new Refusal("The session's window cannot be shown: " + failure.Message
                    + " Without a display set [window] kind = console in " + settings.IniPath + ".");
            }
        }

        public bool Closed
        {
            get { return closed; }
        }

        public void Say(string line)
        {
            Later(() => form.Say(line));
        }

        public void Show(string what, string value)
        {
            if (facts.Set(what, value))
            {
                Later(() => form.ShowFact(what, value));
            }
        }

        public void Breathe()
        {
            if (eclipseStaysUsable && !EclipseWindow.TakeTurn(Say))
            {
                closed = true;
            }
        }

        /// <summary>The session is over; the form stays with its last sentence.</summary>
        public void Dispose()
        {
            closed = true;
            agent.EndWithin(TimeSpan.FromSeconds(10));
            Later(() => form.SessionOver());
        }

        private void Live()
        {
            try
            {
                Application.EnableVisualStyles();
                Application.ThreadException += (sender, thrown) => Say("The window failed: " + thrown.Exception.Message);
                form = new SessionForm(agent.IsNamed, () => agent.Runs);
                form.AgentWanted += StartAgent;
                form.EndWanted += () => closed = true;
                form.Shown += (sender, nothing) => opened.Set();
                Application.Run(form);
                Application.DoEvents(); // Mono on X11 takes the window away only now
            }
            catch (Exception error)
            {
                failure = error;
                closed = true;
                opened.Set();
            }
        }

        private void StartAgent()
        {
            Careful.Do(form.Say, "start the agent", () =>
            {
                agent.Start(facts.ForAgent());
                form.Say("The agent has started.");
            });
        }

        private void Later(Action change)
        {
            try
            {
                if (form != null && form.IsHandleCreated && !form.IsDisposed)
                {
                    form.BeginInvoke(change);
                }
            }
            catch (InvalidOperationException)
            {
                // the person closed the form in between
            }
        }
    }
}
