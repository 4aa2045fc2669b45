using System;

namespace VMS.TPS.Common.Model.Types
{
    /// <summary>A call that the rules of planning do not allow.</summary>
    [Serializable]
    public class ValidationException : ApplicationException
    {
        public ValidationException(string reason) : base(reason)
        {
        }
    }
}
