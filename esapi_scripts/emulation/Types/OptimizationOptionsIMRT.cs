namespace VMS.TPS.Common.Model.Types
{
    /// <summary>How to optimise an IMRT plan. The third argument differs between the overloads.</summary>
    public class OptimizationOptionsIMRT : OptimizationOptionsBase
    {
        public OptimizationOptionsIMRT(
            int maxIterations,
            OptimizationOption initialState,
            int numberOfStepsBeforeIntermediateDose,
            OptimizationConvergenceOption convergenceOption,
            string mlcId) : base(initialState, OptimizationIntermediateDoseOption.UseIntermediateDose, mlcId)
        {
            MaximumNumberOfIterations = maxIterations;
            NumberOfStepsBeforeIntermediateDose = numberOfStepsBeforeIntermediateDose;
            ConvergenceOption = convergenceOption;
        }

        public OptimizationOptionsIMRT(
            int maxIterations,
            OptimizationOption initialState,
            OptimizationConvergenceOption convergenceOption,
            OptimizationIntermediateDoseOption intermediateDoseOption,
            string mlcId) : base(initialState, intermediateDoseOption, mlcId)
        {
            MaximumNumberOfIterations = maxIterations;
            ConvergenceOption = convergenceOption;
        }

        public OptimizationOptionsIMRT(
            int maxIterations,
            OptimizationOption initialState,
            OptimizationConvergenceOption convergenceOption,
            string mlcId) : this(maxIterations, initialState, convergenceOption, OptimizationIntermediateDoseOption.NoIntermediateDose, mlcId)
        {
        }

        public int MaximumNumberOfIterations { get; private set; }
        public int NumberOfStepsBeforeIntermediateDose { get; private set; }
        public OptimizationConvergenceOption ConvergenceOption { get; private set; }

        public OptimizationOption InitialState
        {
            get { return StartOption; }
        }
    }
}
