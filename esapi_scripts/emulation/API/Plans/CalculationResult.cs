using Beamwright.Emulation;

namespace VMS.TPS.Common.Model.API
{
    /// <summary>Whether a calculation succeeded. Why it did not is in Beam.CalculationLogs.</summary>
    public class CalculationResult : GuardedPart
    {
        private readonly bool _success;

        internal CalculationResult(PlanSetup plan, bool success) : base(plan)
        {
            _success = success;
        }

        public bool Success
        {
            get { return Call("Success", () => _success); }
        }
    }
}
