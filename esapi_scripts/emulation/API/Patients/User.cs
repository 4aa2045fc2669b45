using Beamwright.Emulation;

namespace VMS.TPS.Common.Model.API
{
    /// <summary>Who is logged in.</summary>
    public class User : SerializableObject
    {
        private readonly Life _life;

        internal User(Life life)
        {
            _life = life;
        }

        public string Id
        {
            get { return Read("Id", _life.Settings.User); }
        }

        public string Name
        {
            get { return Read("Name", _life.Settings.User); }
        }

        public string Language
        {
            get { return Read("Language", "en-US"); }
        }

        private string Read(string member, string value)
        {
            _life.Read("User." + member);
            return value;
        }
    }
}
