using System;
using System.Globalization;

namespace VMS.TPS.Common.Model.Types
{
    /// <summary>A dose with its unit.</summary>
    public struct DoseValue : IComparable<DoseValue>, IEquatable<DoseValue>
    {
        /// <summary>Units of dose. A site speaks Gy or cGy; percent is of the prescription.</summary>
        public enum DoseUnit
        {
            Unknown = 0,
            Gy = 1,
            cGy = 2,
            Percent = 3,
        }

        private readonly double _dose;
        private readonly DoseUnit _unit;

        public DoseValue(double value, DoseUnit unit)
        {
            _dose = value;
            _unit = unit;
        }

        public DoseValue(double value, string unitName) : this(value, UnitNamed(unitName))
        {
        }

        public double Dose
        {
            get { return _dose; }
        }

        public DoseUnit Unit
        {
            get { return _unit; }
        }

        public string UnitAsString
        {
            get { return _unit == DoseUnit.Percent ? "%" : _unit.ToString(); }
        }

        public string ValueAsString
        {
            get { return IsUndefined() ? "N/A" : _dose.ToString("F" + Decimals, CultureInfo.InvariantCulture); }
        }

        public int Decimals
        {
            get { return _unit == DoseUnit.Gy ? 3 : 1; }
        }

        public bool IsAbsoluteDoseValue
        {
            get { return IsAbsoluteDoseUnit(_unit); }
        }

        public bool IsRelativeDoseValue
        {
            get { return IsRelativeDoseUnit(_unit); }
        }

        public bool IsUndefined()
        {
            return double.IsNaN(_dose);
        }

        public static DoseValue UndefinedDose()
        {
            return new DoseValue(double.NaN, DoseUnit.Unknown);
        }

        public static bool IsAbsoluteDoseUnit(DoseUnit doseUnit)
        {
            return doseUnit == DoseUnit.Gy || doseUnit == DoseUnit.cGy;
        }

        public static bool IsRelativeDoseUnit(DoseUnit doseUnit)
        {
            return doseUnit == DoseUnit.Percent;
        }

        public int CompareTo(DoseValue other)
        {
            return _dose.CompareTo(InUnitOf(this, other));
        }

        public bool Equals(DoseValue other)
        {
            return _unit == other._unit && _dose.Equals(other._dose);
        }

        public bool Equals(DoseValue other, double epsilon)
        {
            return _unit == other._unit && Math.Abs(_dose - other._dose) <= epsilon;
        }

        public override bool Equals(object obj)
        {
            return obj is DoseValue && Equals((DoseValue)obj);
        }

        public override int GetHashCode()
        {
            return _dose.GetHashCode() ^ (int)_unit;
        }

        public override string ToString()
        {
            return ValueAsString + " " + UnitAsString;
        }

        public static DoseValue operator +(DoseValue left, DoseValue right)
        {
            return new DoseValue(left._dose + InUnitOf(left, right), left._unit);
        }

        public static DoseValue operator -(DoseValue left, DoseValue right)
        {
            return new DoseValue(left._dose - InUnitOf(left, right), left._unit);
        }

        public static DoseValue operator *(DoseValue dose, double factor)
        {
            return new DoseValue(dose._dose * factor, dose._unit);
        }

        public static DoseValue operator *(double factor, DoseValue dose)
        {
            return dose * factor;
        }

        public static DoseValue operator /(DoseValue dose, double divisor)
        {
            return new DoseValue(dose._dose / divisor, dose._unit);
        }

        public static double operator /(DoseValue left, DoseValue right)
        {
            return left._dose / InUnitOf(left, right);
        }

        public static bool operator ==(DoseValue left, DoseValue right)
        {
            return left.Equals(right);
        }

        public static bool operator !=(DoseValue left, DoseValue right)
        {
            return !left.Equals(right);
        }

        public static bool operator <(DoseValue left, DoseValue right)
        {
            return left._dose < InUnitOf(left, right);
        }

        public static bool operator >(DoseValue left, DoseValue right)
        {
            return left._dose > InUnitOf(left, right);
        }

        public static bool operator <=(DoseValue left, DoseValue right)
        {
            return left._dose <= InUnitOf(left, right);
        }

        public static bool operator >=(DoseValue left, DoseValue right)
        {
            return left._dose >= InUnitOf(left, right);
        }

        private static double InUnitOf(DoseValue wanted, DoseValue given)
        {
            if (wanted._unit != given._unit)
            {
                throw new ArgumentException("Doses in " + wanted.UnitAsString + " and " + given.UnitAsString + " cannot be compared or combined.");
            }
            return given._dose;
        }

        private static DoseUnit UnitNamed(string name)
        {
            switch (name)
            {
                case "Gy": return DoseUnit.Gy;
                case "cGy": return DoseUnit.cGy;
                case "%": return DoseUnit.Percent;
                default: throw new ArgumentException("A dose unit is Gy, cGy or %, not " + name + ".");
            }
        }
    }
}
