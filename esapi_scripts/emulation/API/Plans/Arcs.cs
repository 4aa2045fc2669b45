using VMS.TPS.Common.Model.Types;

namespace Beamwright.Emulation
{
    /// <summary>
    /// Arcs as records hold them: from gantry_deg to gantry_stop_deg in IEC 61217, the way round in `Others["clockwise"]`.
    /// They can be stored and read; the physics has none.
    /// </summary>
    internal static class Arcs
    {
        private const string Clockwise = "clockwise";

        public static void Turn(BeamRecord beam, GantryDirection direction)
        {
            beam.Others[Clockwise] = direction == GantryDirection.Clockwise;
        }

        /// <summary>As one sees the gantry turn, whatever the scale of angles.</summary>
        public static GantryDirection Direction(BeamRecord beam)
        {
            return IsClockwise(beam) ? GantryDirection.Clockwise : GantryDirection.CounterClockwise;
        }

        public static double Length(BeamRecord beam)
        {
            double turned = (beam.GantryStopDeg ?? beam.GantryDeg) - beam.GantryDeg;
            return ((IsClockwise(beam) ? turned : -turned) % 360.0 + 360.0) % 360.0;
        }

        /// <summary>The gantry after a share (0 to 1) of the way.</summary>
        public static double At(BeamRecord beam, double share)
        {
            double travelled = Length(beam) * share;
            return beam.GantryDeg + (IsClockwise(beam) ? travelled : -travelled);
        }

        private static bool IsClockwise(BeamRecord beam)
        {
            object clockwise;
            return !beam.Others.TryGetValue(Clockwise, out clockwise) || (bool)clockwise;
        }
    }
}
