namespace Beamwright.Emulation
{
    /// <summary>
    /// The one border between IEC 61217, which records speak, and the scale of angles that the API speaks. Varian IEC has
    /// the couch the other way round; Varian Standard has gantry, collimator and couch the other way round, from 180.
    /// Each map is its own inverse.
    /// </summary>
    internal static class Angles
    {
        public const string Iec61217 = "IEC61217";

        public static readonly string[] Scales = { Iec61217, "VarianIEC", "VarianStandard" };

        public static double Gantry(Settings site, double deg)
        {
            return Within(IsStandard(site) ? 180.0 - deg : deg);
        }

        public static double Collimator(Settings site, double deg)
        {
            return Within(IsStandard(site) ? 180.0 - deg : deg);
        }

        public static double Couch(Settings site, double deg)
        {
            double iecDeg = site.Switches.Angles == Iec61217 ? deg : 360.0 - deg;
            return Within(IsStandard(site) ? 180.0 - deg : iecDeg);
        }

        private static bool IsStandard(Settings site)
        {
            return site.Switches.Angles == "VarianStandard";
        }

        private static double Within(double deg)
        {
            return (deg % 360.0 + 360.0) % 360.0;
        }
    }
}
