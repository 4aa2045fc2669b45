using System.Runtime.CompilerServices;
using VMS.TPS.Common.Model.API;
using VMS.TPS.Common.Model.Types;

namespace Beamwright.Emulation
{
    /// <summary>What the session knows of a plan and no save keeps: how its doses are shown, and its base plan.</summary>
    internal sealed class PlanView
    {
        private static readonly ConditionalWeakTable<PlanRecord, PlanView> Views = new ConditionalWeakTable<PlanRecord, PlanView>();

        /// <summary>Relative at first: who wants Gy has to say so.</summary>
        public DoseValuePresentation Presentation = DoseValuePresentation.Relative;

        /// <summary>Iterations since an optimization began from nothing.</summary>
        public int Iterations;

#if ESAPI18
        public PlanningItem BaseDose;

#endif
        public static PlanView Of(PlanRecord plan)
        {
            return Views.GetOrCreateValue(plan);
        }
    }
}
