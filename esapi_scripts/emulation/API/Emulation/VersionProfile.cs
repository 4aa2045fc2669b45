using System.Collections.Generic;

namespace Beamwright.Emulation
{
    /// <summary>What the emulated version calls itself and its calculation models. A report tells that it is emulated.</summary>
    internal static class VersionProfile
    {
#if ESAPI15
        public const string Version = "15.6 emulated";
        public const string ApiVersion = "1.0.300.11";
        private const string Suffix = "_15.6.06";
#elif ESAPI16
        public const string Version = "16.1 emulated";
        public const string ApiVersion = "1.0.450.29";
        private const string Suffix = " 16.1.0";
#else
        public const string Version = "18.0 emulated";
        public const string ApiVersion = "1.0.600.194";
        private const string Suffix = "_18.0.1";
#endif

        public static Dictionary<string, List<string>> Models()
        {
            return new Dictionary<string, List<string>>
            {
                { "PhotonVolumeDose", new List<string> { "AAA" + Suffix } },
                { "PhotonIMRTOptimization", new List<string> { "PO" + Suffix } },
                { "PhotonVMATOptimization", new List<string> { "PO" + Suffix } },
                { "PhotonLeafMotions", new List<string> { "SMARTLMC" + Suffix } },
            };
        }

        public static Dictionary<string, string> GridOption()
        {
            return new Dictionary<string, string> { { "AAA" + Suffix, "CalculationGridSizeInCM" } };
        }
    }
}
