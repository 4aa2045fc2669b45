namespace VMS.TPS.Common.Model.Types
{
    /// <summary>Where an optimisation starts.</summary>
    public enum OptimizationOption
    {
        RestartOptimization = 0,
        ContinueOptimization = 1,
        ContinueOptimizationWithPlanDoseAsIntermediateDose = 2,
    }

    /// <summary>Whether an optimisation uses an intermediate dose.</summary>
    public enum OptimizationIntermediateDoseOption
    {
        NoIntermediateDose = 0,
        UseIntermediateDose = 1,
    }

    /// <summary>Whether an optimisation may stop early.</summary>
    public enum OptimizationConvergenceOption
    {
        NoEarlyTermination = 0,
        TerminateIfConverged = 1,
    }

    /// <summary>Which side of its dose an objective allows.</summary>
    public enum OptimizationObjectiveOperator
    {
        Upper = 0,
        Lower = 1,
        Exact = 2,
        None = 99,
    }

    /// <summary>How a volume is given: in percent, or in cubic centimetres.</summary>
    public enum VolumePresentation
    {
        Relative = 0,
        AbsoluteCm3 = 1,
    }

    /// <summary>How a dose is given: in percent of the prescription, or in the site's unit.</summary>
    public enum DoseValuePresentation
    {
        Relative = 0,
        Absolute = 1,
    }

    /// <summary>Kinds of calculation that a model can be chosen for.</summary>
    public enum CalculationType
    {
        PhotonVolumeDose = 0,
        PhotonSRSDose = 1,
        PhotonIMRTOptimization = 2,
        PhotonVMATOptimization = 3,
        PhotonLeafMotions = 4,
        ProtonVolumeDose = 5,
        DVHEstimation = 6,
#if ESAPI18
        ProtonOptimization = 7,
#endif
    }

    /// <summary>How far a plan has been approved.</summary>
    public enum PlanSetupApprovalStatus
    {
        Rejected = 0,
        UnApproved = 1,
        Reviewed = 2,
        PlanningApproved = 3,
        TreatmentApproved = 4,
        CompletedEarly = 5,
        Completed = 6,
        Retired = 7,
        UnPlannedTreatment = 8,
        ExternallyApproved = 9,
        Unknown = 999,
    }

    /// <summary>The way an arc turns.</summary>
    public enum GantryDirection
    {
        None = 0,
        Clockwise = 1,
        CounterClockwise = 2,
    }

    /// <summary>What the leaves of a beam do.</summary>
    public enum MLCPlanType
    {
        Static = 0,
        DoseDynamic = 1,
        ArcDynamic = 2,
        VMAT = 3,
        ProtonLayerStacking = 4,
        NotDefined = 999,
    }

    /// <summary>The unit of a meterset.</summary>
    public enum DosimeterUnit
    {
        Null = 0,
        MU = 1,
        Minute = 2,
        Second = 3,
    }

    /// <summary>Kinds of plan.</summary>
    public enum PlanType
    {
        ExternalBeam = 0,
        ExternalBeam_IRREG = 1,
        ExternalBeam_Proton = 2,
        Brachy = 3,
    }

    /// <summary>How the patient lies.</summary>
    public enum PatientOrientation
    {
        NoOrientation = 0,
        HeadFirstSupine = 1,
        HeadFirstProne = 2,
        HeadFirstDecubitusRight = 3,
        HeadFirstDecubitusLeft = 4,
        FeetFirstSupine = 5,
        FeetFirstProne = 6,
        FeetFirstDecubitusRight = 7,
        FeetFirstDecubitusLeft = 8,
        Sitting = 9,
    }

    /// <summary>Whether a margin grows or shrinks.</summary>
    public enum StructureMarginGeometry
    {
        Outer = 0,
        Inner = 1,
    }

    /// <summary>Modality of a series.</summary>
    public enum SeriesModality
    {
        CT = 0,
        MR = 1,
        PT = 2,
        RTIMAGE = 3,
        RTSTRUCT = 4,
        RTPLAN = 5,
        RTDOSE = 6,
        REG = 7,
        Other = 8,
    }

    /// <summary>Whether the site has approved this script.</summary>
    public enum ApplicationScriptApprovalStatus
    {
        Undefined = -1,
        Unapproved = 0,
        ApprovedForEvaluation = 1,
        Approved = 2,
        Retired = 3,
    }
}
