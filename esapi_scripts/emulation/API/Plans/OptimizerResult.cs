using System.Collections.Generic;
using System.Linq;
using VMS.TPS.Common.Model.Types;

namespace VMS.TPS.Common.Model.API
{
    /// <summary>What an optimization came to.</summary>
    public class OptimizerResult : CalculationResult
    {
        internal OptimizerResult(bool success, double total, int iterations, IEnumerable<OptimizerObjectiveValue> values) : base(success)
        {
            TotalObjectiveFunctionValue = total;
            NumberOfIMRTOptimizerIterations = iterations;
            StructureObjectiveValues = values.ToList();
        }

        public double TotalObjectiveFunctionValue { get; private set; }
        public int NumberOfIMRTOptimizerIterations { get; private set; }
        public IEnumerable<OptimizerObjectiveValue> StructureObjectiveValues { get; private set; }

        /// <summary>Empty: the physics tells the dose only in the plan.</summary>
        public IEnumerable<OptimizerDVH> StructureDVHs
        {
            get { return Enumerable.Empty<OptimizerDVH>(); }
        }
    }

    /// <summary>What the objectives of one structure come to.</summary>
    public class OptimizerObjectiveValue
    {
        internal OptimizerObjectiveValue(Structure structure, double value)
        {
            Structure = structure;
            Value = value;
        }

        public Structure Structure { get; private set; }
        public double Value { get; private set; }
    }

    /// <summary>The histogram of one structure within the optimizer.</summary>
    public class OptimizerDVH
    {
        internal OptimizerDVH(Structure structure, DVHPoint[] curveData)
        {
            Structure = structure;
            CurveData = curveData;
        }

        public Structure Structure { get; private set; }
        public DVHPoint[] CurveData { get; private set; }
    }
}
