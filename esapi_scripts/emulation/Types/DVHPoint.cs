namespace VMS.TPS.Common.Model.Types
{
    /// <summary>A point of a cumulative dose-volume histogram.</summary>
    public struct DVHPoint
    {
        private readonly DoseValue _dose;
        private readonly double _volume;
        private readonly string _volumeUnit;

        public DVHPoint(DoseValue dose, double volume, string volumeUnit)
        {
            _dose = dose;
            _volume = volume;
            _volumeUnit = volumeUnit;
        }

        public DoseValue DoseValue
        {
            get { return _dose; }
        }

        public double Volume
        {
            get { return _volume; }
        }

        public string VolumeUnit
        {
            get { return _volumeUnit; }
        }
    }
}
