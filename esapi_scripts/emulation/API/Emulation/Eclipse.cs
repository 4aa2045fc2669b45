namespace Beamwright.Emulation
{
    /// <summary>The emulated installation: what hosts and tests in the same process may look at.</summary>
    public static class Eclipse
    {
        private static Settings _settings;

        /// <summary>The settings in force; read anew each time a patient is opened.</summary>
        public static Settings Settings
        {
            get { return _settings ?? (_settings = Settings.Read()); }
        }

        internal static Settings Reread()
        {
            _settings = Settings.Read();
            return _settings;
        }
    }
}
