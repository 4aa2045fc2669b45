using System;
using System.Collections.Generic;

namespace Beamwright.Emulation
{
    /// <summary>A treatment unit of the emulated site.</summary>
    public sealed class MachineSettings
    {
        public IList<string> Energies { get; private set; }
        public string Mlc { get; private set; }

        internal MachineSettings(IDictionary<string, object> given)
        {
            foreach (KeyValuePair<string, object> entry in given)
            {
                switch (entry.Key)
                {
                    case "energies": Energies = Json.Texts(entry.Value); break;
                    case "mlc": Mlc = (string)entry.Value; break;
                    default: throw new ArgumentException("\"" + entry.Key + "\" is not a setting of a machine; energies and mlc are.");
                }
            }
            if (Energies == null || Mlc == null)
            {
                throw new ArgumentException("A machine needs both energies and mlc.");
            }
        }

        internal static MachineSettings Usual()
        {
            return new MachineSettings(new Dictionary<string, object> { { "energies", new object[] { "6X" } }, { "mlc", "MLC120" } });
        }
    }
}
