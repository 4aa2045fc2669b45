namespace VMS.TPS.Common.Model.Types
{
    /// <summary>What the options of the optimisers share.</summary>
    public abstract class OptimizationOptionsBase
    {
        internal OptimizationOptionsBase(OptimizationOption startOption, OptimizationIntermediateDoseOption intermediateDose, string mlcId)
        {
            StartOption = startOption;
            IntermediateDoseOption = intermediateDose;
            MLC = mlcId;
        }

        public OptimizationOption StartOption { get; private set; }
        public OptimizationIntermediateDoseOption IntermediateDoseOption { get; private set; }
        public string MLC { get; private set; }
    }
}
