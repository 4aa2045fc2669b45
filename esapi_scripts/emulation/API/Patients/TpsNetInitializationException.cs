using System;

namespace VMS.TPS.Common.Model.API
{
    /// <summary>The connection to Eclipse could not be made.</summary>
    [Serializable]
    public class TpsNetInitializationException : ApplicationException
    {
        public TpsNetInitializationException(string message) : base(message)
        {
        }
    }
}
