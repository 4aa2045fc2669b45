namespace Beamwright
{
    /// <summary>What the person sees of a session; every member may be used from any thread, except Breathe.</summary>
    public interface ISessionWindow
    {
        /// <summary>True once the person wants the session to end.</summary>
        bool Closed { get; }

        /// <summary>Adds a line to the log.</summary>
        void Say(string line);

        /// <summary>
        /// Sets one of: patient, patient name, plan, access, endpoint, token file, state, changes (a line for each
        /// thing that was changed). The agent is given "patient name", "endpoint" and "token file".
        /// </summary>
        void Show(string what, string value);

        /// <summary>Lets Eclipse do what waits in its own window; called on the thread of Execute.</summary>
        void Breathe();
    }
}
