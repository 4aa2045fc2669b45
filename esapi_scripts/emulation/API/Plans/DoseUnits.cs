using System;
using VMS.TPS.Common.Model.Types;

namespace Beamwright.Emulation
{
    /// <summary>The one border between Gy, which records and physics speak, and the site's unit, which the API speaks.</summary>
    internal static class DoseUnits
    {
        public static DoseValue.DoseUnit Of(Settings site)
        {
            return site.DoseUnit == "cGy" ? DoseValue.DoseUnit.cGy : DoseValue.DoseUnit.Gy;
        }

        /// <summary>How many of the site's units one Gy is.</summary>
        public static double PerGy(Settings site)
        {
            return site.DoseUnit == "cGy" ? 100.0 : 1.0;
        }

        public static DoseValue Shown(Settings site, double? gy)
        {
            return gy == null ? DoseValue.UndefinedDose() : new DoseValue(gy.Value * PerGy(site), Of(site));
        }

        /// <summary>A dose in the site's own unit, in Gy. Another unit is refused and not converted (?).</summary>
        public static double Gy(Settings site, DoseValue dose, string parameter)
        {
            if (dose.Unit != Of(site))
            {
                throw new ArgumentException("The dose is in " + dose.UnitAsString + ", but this system's unit is " + site.DoseUnit + ".", parameter);
            }
            return Amounts.NotNegative(dose.Dose, parameter) / PerGy(site);
        }
    }
}
