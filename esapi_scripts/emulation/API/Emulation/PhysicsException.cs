using System;

namespace Beamwright.Emulation
{
    /// <summary>The physics refused, did not find, or failed at what it was asked.</summary>
    public sealed class PhysicsException : ApplicationException
    {
        /// <summary>"Refused", "NotFound", "Failed", or "Gone" when the process is not there.</summary>
        public string Kind { get; private set; }

        internal PhysicsException(string kind, string message) : base(message)
        {
            Kind = kind;
        }
    }
}
