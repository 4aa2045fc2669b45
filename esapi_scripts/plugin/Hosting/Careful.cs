using System;

namespace Beamwright
{
    /// <summary>
    /// What runs beside Eclipse's own thread. An exception that nobody catches there ends Eclipse and all that is not
    /// saved in it, so each becomes a line of the window.
    /// </summary>
    public static class Careful
    {
        public static void Do(Action<string> say, string what, Action act)
        {
            try
            {
                act();
            }
            catch (Refusal refusal)
            {
                say(refusal.Message);
            }
            catch (Exception error)
            {
                say("Could not " + what + ": " + error.Message);
            }
        }
    }
}
