using System;

namespace Beamwright
{
    /// <summary>Something a person can mend; the message is the sentence they are shown.</summary>
    public sealed class Refusal : Exception
    {
        public Refusal(string message)
            : base(message)
        {
        }
    }
}
