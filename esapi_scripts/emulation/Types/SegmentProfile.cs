using System.Collections;
using System.Collections.Generic;

namespace VMS.TPS.Common.Model.Types
{
    /// <summary>One sample of a segment along a line.</summary>
    public class SegmentProfilePoint
    {
        public SegmentProfilePoint(VVector position, bool value)
        {
            Position = position;
            Value = value;
        }

        public VVector Position { get; private set; }
        public bool Value { get; private set; }
    }

    /// <summary>Inside or outside, at equal steps along a line.</summary>
    public class SegmentProfile : IEnumerable<SegmentProfilePoint>
    {
        private readonly VVector _origin;
        private readonly VVector _step;
        private readonly BitArray _data;

        public SegmentProfile(VVector origin, VVector step, BitArray data)
        {
            _origin = origin;
            _step = step;
            _data = data;
        }

        public int Count
        {
            get { return _data.Length; }
        }

        public SegmentProfilePoint this[int index]
        {
            get { return new SegmentProfilePoint(_origin + _step * index, _data[index]); }
        }

        public IEnumerator<SegmentProfilePoint> GetEnumerator()
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
}
