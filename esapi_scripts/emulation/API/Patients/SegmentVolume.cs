using System;
using Beamwright.Emulation;
using VMS.TPS.Common.Model.Types;

namespace VMS.TPS.Common.Model.API
{
    /// <summary>A volume: made of others, and given to a structure.</summary>
    public class SegmentVolume : SerializableObject
    {
        internal readonly Segment Segment;
        private readonly Life _life;

        internal SegmentVolume(Life life, Segment segment)
        {
            _life = life;
            Segment = segment;
        }

        public SegmentVolume And(SegmentVolume other)
        {
            return Made("And", () => Segment.And(Given(other)));
        }

        public SegmentVolume Or(SegmentVolume other)
        {
            return Made("Or", () => Segment.Or(Given(other)));
        }

        public SegmentVolume Sub(SegmentVolume other)
        {
            return Made("Sub", () => Segment.Sub(Given(other)));
        }

        public SegmentVolume Xor(SegmentVolume other)
        {
            return Made("Xor", () => Segment.Xor(Given(other)));
        }

        public SegmentVolume Not()
        {
            return Made("Not", () => Segment.Not());
        }

        public SegmentVolume Margin(double marginInMM)
        {
            return Made("Margin", () => Segment.Margin(marginInMM));
        }

        public SegmentVolume AsymmetricMargin(AxisAlignedMargins margins)
        {
            return Made("AsymmetricMargin", () => Segment.AsymmetricMargin(margins));
        }

        internal static Segment Given(SegmentVolume other)
        {
            if (other == null)
            {
                throw new ArgumentNullException("other");
            }
            return other.Segment;
        }

        private SegmentVolume Made(string member, Func<Segment> make)
        {
            _life.Check("SegmentVolume." + member);
            return new SegmentVolume(_life, make());
        }
    }
}
