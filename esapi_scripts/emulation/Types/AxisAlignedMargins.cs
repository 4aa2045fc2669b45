namespace VMS.TPS.Common.Model.Types
{
    /// <summary>A margin per side, mm; X1, Y1, Z1 towards the lower end of each axis.</summary>
    public struct AxisAlignedMargins
    {
        public StructureMarginGeometry Geometry;
        public double X1;
        public double Y1;
        public double Z1;
        public double X2;
        public double Y2;
        public double Z2;

        public AxisAlignedMargins(StructureMarginGeometry geometry, double x1, double y1, double z1, double x2, double y2, double z2)
        {
            Geometry = geometry;
            X1 = x1;
            Y1 = y1;
            Z1 = z1;
            X2 = x2;
            Y2 = y2;
            Z2 = z2;
        }
    }
}
