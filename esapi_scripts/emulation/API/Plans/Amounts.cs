using System;
using System.Globalization;

namespace Beamwright.Emulation
{
    /// <summary>Numbers that may be stored; others are refused with their value.</summary>
    internal static class Amounts
    {
        public static double Within(double value, double lowest, double highest, string parameter)
        {
            if (double.IsNaN(value) || value < lowest || value > highest)
            {
                throw new ArgumentOutOfRangeException(
                    parameter,
                    string.Format(CultureInfo.InvariantCulture, "{0} is {1}; expected {2} to {3}.", parameter, value, lowest, highest));
            }
            return value;
        }

        public static double NotNegative(double value, string parameter)
        {
            return Within(value, 0, double.MaxValue, parameter);
        }

        public static double Positive(double value, string parameter)
        {
            return Within(value, double.Epsilon, double.MaxValue, parameter);
        }
    }
}
