#if ESAPI18
namespace VMS.TPS.Common.Model.Types
{
    /// <summary>A goal of a prescription. The emulated prescriptions have none.</summary>
    public struct ClinicalGoal
    {
        public string StructureId { get; private set; }
        public string ObjectiveAsString { get; private set; }
    }
}
#endif
