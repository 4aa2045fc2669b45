namespace VMS.TPS.Common.Model.API
{
    /// <summary>A sum of plans. The emulated patients have none.</summary>
    public abstract class PlanSum : PlanningItem
    {
        internal PlanSum() : base(null, null)
        {
        }
    }

    /// <summary>A proton plan. The emulated patients have none.</summary>
    public abstract class IonPlanSetup : PlanSetup
    {
        internal IonPlanSetup() : base(null, null, null)
        {
        }
    }

    /// <summary>A brachytherapy plan. The emulated patients have none.</summary>
    public abstract class BrachyPlanSetup : PlanSetup
    {
        internal BrachyPlanSetup() : base(null, null, null)
        {
        }
    }
}
