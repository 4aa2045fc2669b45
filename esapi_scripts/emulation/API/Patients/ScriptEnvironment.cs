using Beamwright.Emulation;

namespace VMS.TPS.Common.Model.API
{
    /// <summary>Where a script runs: names and versions.</summary>
    public class ScriptEnvironment
    {
        private readonly Life _life;

        internal ScriptEnvironment(Life life)
        {
            _life = life;
        }

        public string ApplicationName
        {
            get { return Read("ApplicationName", "External Beam Planning"); }
        }

        public string VersionInfo
        {
            get { return Read("VersionInfo", VersionProfile.Version); }
        }

        public string ApiVersionInfo
        {
            get { return Read("ApiVersionInfo", VersionProfile.ApiVersion); }
        }

        private string Read(string member, string value)
        {
            _life.Read("ScriptEnvironment." + member);
            return value;
        }
    }
}
