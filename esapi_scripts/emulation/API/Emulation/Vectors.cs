using VMS.TPS.Common.Model.Types;

namespace Beamwright.Emulation
{
    /// <summary>Positions between records and the API, mm in DICOM axes.</summary>
    internal static class Vectors
    {
        public static VVector From(double[] xyz)
        {
            return new VVector(xyz[0], xyz[1], xyz[2]);
        }

        public static double[] To(VVector v)
        {
            return new[] { v.x, v.y, v.z };
        }
    }
}
