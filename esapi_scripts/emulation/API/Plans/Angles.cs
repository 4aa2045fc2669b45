namespace Beamwright.Emulation
{
    /// <summary>The one border between IEC 61217, which records speak, and the scale of angles that the API speaks.</summary>
    internal static class Angles
    {
        /// <summary>A record's angle as the API tells it. Both scales run alike for gantry, collimator and couch.</summary>
        public static double Shown(Settings site, double iecDeg)
        {
            return Turned(site.Switches.VarianAngles ? 180.0 - iecDeg : iecDeg);
        }

        /// <summary>An angle given to the API, as records keep it. The map is its own inverse.</summary>
        public static double Iec(Settings site, double shownDeg, string parameter)
        {
            return Shown(site, Amounts.Within(shownDeg, 0, 360, parameter));
        }

        private static double Turned(double deg)
        {
            return (deg % 360.0 + 360.0) % 360.0;
        }
    }
}
