using System;
using System.Windows.Threading;

namespace Beamwright
{
    /// <summary>Eclipse's own user interface, which stands still while a script runs unless it is given turns.</summary>
    public static class EclipseWindow
    {
        /// <summary>
        /// Does what waits on this thread down to background priority, drawing and the person's input included.
        /// False when Eclipse is ending. An error of Eclipse's own is said, and does not end the session.
        /// </summary>
        public static bool TakeTurn(Action<string> say)
        {
            Dispatcher dispatcher = Dispatcher.FromThread(System.Threading.Thread.CurrentThread);
            if (dispatcher == null)
            {
                return true;
            }
            if (dispatcher.HasShutdownStarted)
            {
                return false;
            }
            var turn = new DispatcherFrame();
            dispatcher.BeginInvoke(DispatcherPriority.Background, (Action)(() => turn.Continue = false));
            try
            {
                Dispatcher.PushFrame(turn);
            }
            catch (Exception error)
            {
                say("Eclipse's own window reported: " + error.Message);
            }
            return !dispatcher.HasShutdownStarted;
        }
    }
}
