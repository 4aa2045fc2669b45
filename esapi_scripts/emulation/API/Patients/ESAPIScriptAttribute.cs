using System;

namespace VMS.TPS.Common.Model.API
{
    /// <summary>Says of a script's assembly whether it writes.</summary>
    [AttributeUsage(AttributeTargets.Assembly)]
    public class ESAPIScriptAttribute : Attribute
    {
        public bool IsWriteable { get; set; }
    }
}
