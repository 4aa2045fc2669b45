using VMS.TPS.Common.Model.Types;

namespace Beamwright.Emulation
{
    /// <summary>What images and doses share: where their first voxel is said to be.</summary>
    internal static class Grid
    {
        /// <summary>Origin as the API tells it: the centre of voxel (0,0,0), or its corner by switch.</summary>
        public static VVector Origin(Settings settings, double[] centre, double[] res, VVector[] directions)
        {
            VVector origin = Vectors.From(centre);
            if (settings.Switches.OriginAtCorner)
            {
                origin = origin - (directions[0] * res[0] + directions[1] * res[1] + directions[2] * res[2]) / 2;
            }
            return origin;
        }
    }
}
