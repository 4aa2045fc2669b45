using System.Collections.Generic;
using System.Globalization;

namespace VMS.TPS.Common.Model.Types
{
    /// <summary>A rectangle, for jaws in mm at the isocentre.</summary>
    public struct VRect<T>
    {
        private readonly T _x1;
        private readonly T _y1;
        private readonly T _x2;
        private readonly T _y2;

        public VRect(T x1, T y1, T x2, T y2)
        {
            _x1 = x1;
            _y1 = y1;
            _x2 = x2;
            _y2 = y2;
        }

        public T X1
        {
            get { return _x1; }
        }

        public T Y1
        {
            get { return _y1; }
        }

        public T X2
        {
            get { return _x2; }
        }

        public T Y2
        {
            get { return _y2; }
        }

        public bool Equals(VRect<T> other)
        {
            EqualityComparer<T> same = EqualityComparer<T>.Default;
            return same.Equals(_x1, other._x1) && same.Equals(_y1, other._y1) && same.Equals(_x2, other._x2) && same.Equals(_y2, other._y2);
        }

        public override bool Equals(object other)
        {
            return other is VRect<T> && Equals((VRect<T>)other);
        }

        public override int GetHashCode()
        {
            return ToString().GetHashCode();
        }

        public override string ToString()
        {
            return string.Format(CultureInfo.InvariantCulture, "({0}, {1}, {2}, {3})", _x1, _y1, _x2, _y2);
        }

        public static bool operator ==(VRect<T> left, VRect<T> right)
        {
            return left.Equals(right);
        }

        public static bool operator !=(VRect<T> left, VRect<T> right)
        {
            return !left.Equals(right);
        }
    }
}
