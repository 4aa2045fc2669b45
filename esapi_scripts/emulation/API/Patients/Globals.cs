using System.Collections.Generic;
using Beamwright.Emulation;

namespace VMS.TPS.Common.Model.API
{
    /// <summary>What belongs to the whole API: a trace of the calls.</summary>
    public static class Globals
    {
        public static void EnableApiAccessTrace()
        {
            ApiTrace.Enabled = true;
        }

        public static void DisableApiAccessTrace()
        {
            ApiTrace.Enabled = false;
        }

        public static IEnumerable<string> GetLoggedApiCalls()
        {
            return ApiTrace.Take();
        }
    }
}
