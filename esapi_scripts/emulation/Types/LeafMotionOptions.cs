namespace VMS.TPS.Common.Model.Types
{
    /// <summary>Options of the Varian leaf motion calculator.</summary>
    public class LMCVOptions
    {
        public LMCVOptions(bool fixedJaws)
        {
            FixedJaws = fixedJaws;
        }

        public bool FixedJaws { get; private set; }
    }

    /// <summary>Options of the smart leaf motion calculator.</summary>
    public class SmartLMCOptions
    {
        public SmartLMCOptions(bool fixedFieldBorders, bool jawTracking)
        {
            FixedFieldBorders = fixedFieldBorders;
            JawTracking = jawTracking;
        }

        public bool FixedFieldBorders { get; private set; }
        public bool JawTracking { get; private set; }
    }

    /// <summary>Options of the leaf motion calculator for multiple static segments.</summary>
    public class LMCMSSOptions
    {
        public LMCMSSOptions(int numberOfIterations)
        {
            NumberOfIterations = numberOfIterations;
        }

        public int NumberOfIterations { get; private set; }
    }
}
