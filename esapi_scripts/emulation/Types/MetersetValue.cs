namespace VMS.TPS.Common.Model.Types
{
    /// <summary>A meterset with its unit.</summary>
    public struct MetersetValue
    {
        private readonly double _value;
        private readonly DosimeterUnit _unit;

        public MetersetValue(double value, DosimeterUnit unit)
        {
            _value = value;
            _unit = unit;
        }

        public double Value
        {
            get { return _value; }
        }

        public DosimeterUnit Unit
        {
            get { return _unit; }
        }
    }
}
