namespace VMS.TPS.Common.Model.API
{
    /// <summary>Whether a calculation succeeded. Why it did not is in Beam.CalculationLogs.</summary>
    public class CalculationResult
    {
        internal CalculationResult(bool success)
        {
            Success = success;
        }

        public bool Success { get; private set; }
    }
}
