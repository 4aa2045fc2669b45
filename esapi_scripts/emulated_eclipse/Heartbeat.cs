using System;
using System.Diagnostics;
using System.Threading;
using System.Windows.Threading;

namespace Beamwright.EmulatedEclipse
{
    /// <summary>Asks the user interface for a turn twenty times a second, and notes how long it had to wait.</summary>
    public sealed class Heartbeat
    {
        private const int PeriodMs = 50;

        private readonly Dispatcher ui;
        private readonly Stopwatch sinceTurn = Stopwatch.StartNew();
        private int waiting;

        public Heartbeat(Dispatcher ui)
        {
            this.ui = ui;
        }

        public int Turns { get; private set; }

        public long LongestPauseMs { get; private set; }

        public void Start()
        {
            new Thread(Ask) { IsBackground = true, Name = "heartbeat" }.Start();
        }

        private void Ask()
        {
            sinceTurn.Restart();
            while (!ui.HasShutdownStarted)
            {
                if (Interlocked.Exchange(ref waiting, 1) == 0)
                {
                    ui.BeginInvoke(DispatcherPriority.Input, (Action)Turn);
                }
                Thread.Sleep(PeriodMs);
            }
        }

        private void Turn()
        {
            Turns++;
            LongestPauseMs = Math.Max(LongestPauseMs, sinceTurn.ElapsedMilliseconds);
            sinceTurn.Restart();
            Interlocked.Exchange(ref waiting, 0);
        }
    }
}
