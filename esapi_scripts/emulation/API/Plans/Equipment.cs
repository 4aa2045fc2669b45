using Beamwright.Emulation;

namespace VMS.TPS.Common.Model.API
{
    /// <summary>The name of a device: all that records keep of one.</summary>
    internal sealed class DeviceRecord : Record
    {
        public DeviceRecord(string id)
        {
            Id = id;
            Name = id;
        }

        public override bool Equals(object other)
        {
            var device = other as DeviceRecord;
            return device != null && device.Id == Id;
        }

        public override int GetHashCode()
        {
            return Id.GetHashCode();
        }
    }

    /// <summary>Something that is put into the beam.</summary>
    public abstract class AddOn : ApiDataObject
    {
        internal AddOn(Life life, Record record) : base(life, record)
        {
        }
    }

    /// <summary>A multileaf collimator.</summary>
    public class MLC : AddOn
    {
        internal MLC(Life life, string id) : base(life, new DeviceRecord(id))
        {
        }

        public string Model
        {
            get { return Get("Model", () => Record.Id); }
        }
    }

    /// <summary>A treatment machine.</summary>
    public class ExternalBeamTreatmentUnit : ApiDataObject
    {
        internal ExternalBeamTreatmentUnit(Life life, string id) : base(life, new DeviceRecord(id))
        {
        }

        public string MachineModel
        {
            get { return Get("MachineModel", () => Record.Id); }
        }
    }

    /// <summary>STATIC or ARC.</summary>
    public class Technique : ApiDataObject
    {
        internal Technique(Life life, string id) : base(life, new DeviceRecord(id))
        {
        }
    }
}
