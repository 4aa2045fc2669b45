using Beamwright.Emulation;

namespace VMS.TPS.Common.Model.API
{
    /// <summary>A physician's prescription. No emulated plan has one.</summary>
    public class RTPrescription : ApiDataObject
    {
        internal RTPrescription(Life life, Record record) : base(life, record)
        {
        }
    }
}
