using System;

namespace Beamwright
{
    /// <summary>An error in the Python side that nobody expected: a defect, not something the person can mend.</summary>
    public sealed class PythonFault : Exception
    {
        public PythonFault(string message, string details)
            : base(message)
        {
            Details = details ?? "";
        }

        /// <summary>Where in Python it happened.</summary>
        public string Details { get; }
    }
}
