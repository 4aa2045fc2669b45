using System.Collections.Generic;
using System.Linq;
using Beamwright.Emulation;
using VMS.TPS.Common.Model.Types;

namespace VMS.TPS.Common.Model.API
{
    /// <summary>What an optimization came to.</summary>
    public class OptimizerResult : CalculationResult
    {
        private readonly double _total;
        private readonly int _iterations;
        private readonly List<OptimizerObjectiveValue> _values;

        internal OptimizerResult(PlanSetup plan, bool success, double total, int iterations, IEnumerable<OptimizerObjectiveValue> values)
            : base(plan, success)
        {
            _total = total;
            _iterations = iterations;
            _values = values.ToList();
        }

        public double TotalObjectiveFunctionValue
        {
            get { return Call("TotalObjectiveFunctionValue", () => _total); }
        }

        public int NumberOfIMRTOptimizerIterations
        {
            get { return Call("NumberOfIMRTOptimizerIterations", () => _iterations); }
        }

        public IEnumerable<OptimizerObjectiveValue> StructureObjectiveValues
        {
            get { return Call("StructureObjectiveValues", () => _values); }
        }

        /// <summary>Empty: the physics tells the dose only in the plan.</summary>
        public IEnumerable<OptimizerDVH> StructureDVHs
        {
            get { return Call("StructureDVHs", () => Enumerable.Empty<OptimizerDVH>()); }
        }
    }

    /// <summary>What the objectives of one structure come to.</summary>
    public class OptimizerObjectiveValue : GuardedPart
    {
        private readonly Structure _structure;
        private readonly double _value;

        internal OptimizerObjectiveValue(PlanSetup plan, Structure structure, double value) : base(plan)
        {
            _structure = structure;
            _value = value;
        }

        public Structure Structure
        {
            get { return Call("Structure", () => _structure); }
        }

        public double Value
        {
            get { return Call("Value", () => _value); }
        }
    }

    /// <summary>The histogram of one structure within the optimizer.</summary>
    public class OptimizerDVH : GuardedPart
    {
        private readonly Structure _structure;
        private readonly DVHPoint[] _curve;

        internal OptimizerDVH(PlanSetup plan, Structure structure, DVHPoint[] curve) : base(plan)
        {
            _structure = structure;
            _curve = curve;
        }

        public Structure Structure
        {
            get { return Call("Structure", () => _structure); }
        }

        public DVHPoint[] CurveData
        {
            get { return Call("CurveData", () => _curve); }
        }
    }
}
