namespace VMS.TPS.Common.Model.Types
{
    /// <summary>How to optimise a VMAT plan. There is no count of iterations.</summary>
    public class OptimizationOptionsVMAT : OptimizationOptionsBase
    {
        public OptimizationOptionsVMAT(OptimizationOption startOption, string mlcId)
            : this(startOption, OptimizationIntermediateDoseOption.NoIntermediateDose, 1, mlcId)
        {
        }

        public OptimizationOptionsVMAT(OptimizationIntermediateDoseOption intermediateDoseOption, string mlcId)
            : this(OptimizationOption.RestartOptimization, intermediateDoseOption, 1, mlcId)
        {
        }

        public OptimizationOptionsVMAT(int numberOfCycles, string mlcId)
            : this(OptimizationOption.RestartOptimization, OptimizationIntermediateDoseOption.NoIntermediateDose, numberOfCycles, mlcId)
        {
        }

        public OptimizationOptionsVMAT(
            OptimizationOption startOption,
            OptimizationIntermediateDoseOption intermediateDoseOption,
            int numberOfCycles,
            string mlcId) : base(startOption, intermediateDoseOption, mlcId)
        {
            NumberOfOptimizationCycles = numberOfCycles;
        }

        public OptimizationOptionsVMAT(OptimizationOptionsVMAT options)
            : this(options.StartOption, options.IntermediateDoseOption, options.NumberOfOptimizationCycles, options.MLC)
        {
        }

        public int NumberOfOptimizationCycles { get; private set; }
    }
}
