using System;
using System.Globalization;

namespace VMS.TPS.Common.Model.Types
{
    /// <summary>A position or direction, mm in DICOM axes.</summary>
    public struct VVector
    {
        public VVector(double xi, double yi, double zi) : this()
        {
            x = xi;
            y = yi;
            z = zi;
        }

        public double x { get; set; }
        public double y { get; set; }
        public double z { get; set; }

        public static VVector Undefined
        {
            get { return new VVector(double.NaN, double.NaN, double.NaN); }
        }

        public double LengthSquared
        {
            get { return ScalarProduct(this); }
        }

        public double Length
        {
            get { return Math.Sqrt(LengthSquared); }
        }

        public double this[int index]
        {
            get
            {
                switch (index)
                {
                    case 0: return x;
                    case 1: return y;
                    case 2: return z;
                    default: throw new IndexOutOfRangeException("A VVector has the indices 0, 1 and 2, not " + index + ".");
                }
            }
            set
            {
                switch (index)
                {
                    case 0: x = value; break;
                    case 1: y = value; break;
                    case 2: z = value; break;
                    default: throw new IndexOutOfRangeException("A VVector has the indices 0, 1 and 2, not " + index + ".");
                }
            }
        }

        public double ScalarProduct(VVector other)
        {
            return x * other.x + y * other.y + z * other.z;
        }

        public void ScaleToUnitLength()
        {
            double length = Length;
            x /= length;
            y /= length;
            z /= length;
        }

        public VVector GetUnitLengthScaledVector()
        {
            return this / Length;
        }

        public static double Distance(VVector left, VVector right)
        {
            return (left - right).Length;
        }

        public static VVector operator +(VVector left, VVector right)
        {
            return new VVector(left.x + right.x, left.y + right.y, left.z + right.z);
        }

        public static VVector operator -(VVector left, VVector right)
        {
            return new VVector(left.x - right.x, left.y - right.y, left.z - right.z);
        }

        public static VVector operator *(VVector vector, double factor)
        {
            return new VVector(vector.x * factor, vector.y * factor, vector.z * factor);
        }

        public static VVector operator *(double factor, VVector vector)
        {
            return vector * factor;
        }

        public static VVector operator /(VVector vector, double divisor)
        {
            return new VVector(vector.x / divisor, vector.y / divisor, vector.z / divisor);
        }

        public override string ToString()
        {
            return string.Format(CultureInfo.InvariantCulture, "({0}, {1}, {2})", x, y, z);
        }
    }
}
