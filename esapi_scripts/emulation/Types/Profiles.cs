using System.Collections;
using System.Collections.Generic;

namespace VMS.TPS.Common.Model.Types
{
    /// <summary>One sample of a profile.</summary>
    public class ProfilePoint
    {
        public ProfilePoint(VVector position, double value)
        {
            Position = position;
            Value = value;
        }

        public VVector Position { get; private set; }
        public double Value { get; private set; }
    }

    /// <summary>Samples at equal steps along a line.</summary>
    public class LineProfile : IEnumerable<ProfilePoint>
    {
        private readonly VVector _origin;
        private readonly VVector _step;
        private readonly double[] _data;

        public LineProfile(VVector origin, VVector step, double[] data)
        {
            _origin = origin;
            _step = step;
            _data = data;
        }

        public int Count
        {
            get { return _data.Length; }
        }

        public ProfilePoint this[int index]
        {
            get { return new ProfilePoint(_origin + _step * index, _data[index]); }
        }

        public IEnumerator<ProfilePoint> GetEnumerator()
        {
            for (int index = 0; index < Count; index++)
            {
                yield return this[index];
            }
        }

        IEnumerator IEnumerable.GetEnumerator()
        {
            return GetEnumerator();
        }
    }

    /// <summary>Dose along a line.</summary>
    public class DoseProfile : LineProfile
    {
        public DoseProfile(VVector origin, VVector step, double[] data, DoseValue.DoseUnit unit) : base(origin, step, data)
        {
            Unit = unit;
        }

        public DoseValue.DoseUnit Unit { get; private set; }
    }

    /// <summary>Image values along a line.</summary>
    public class ImageProfile : LineProfile
    {
        public ImageProfile(VVector origin, VVector step, double[] data, string unit) : base(origin, step, data)
        {
            Unit = unit;
        }

        public string Unit { get; private set; }
    }
}
