using System;
using System.Collections.Generic;
using System.Linq;
using Beamwright.Emulation;
using VMS.TPS.Common.Model.Types;

namespace VMS.TPS.Common.Model.API
{
    /// <summary>A field of a plan.</summary>
    public class Beam : ApiDataObject
    {
        private readonly PlanSetup _plan;

        internal Beam(PlanSetup plan, BeamRecord record) : base(plan.Life, record)
        {
            _plan = plan;
        }

        internal new BeamRecord Record
        {
            get { return (BeamRecord)base.Record; }
        }

        internal PlanSetup Owner
        {
            get { return _plan; }
        }

        internal bool IsArc
        {
            get { return Record.Technique == "ARC"; }
        }

        public new string Id
        {
            get { return base.Id; }
            set
            {
                Change("Id", () => Record.Id = Ids.Checked(
                    Life, "beam", value, Life.Settings.MaxBeamId, _plan.Record.Beams.Where(beam => beam != Record).Select(beam => beam.Id)));
            }
        }

        public double ArcLength
        {
            get { return Get("ArcLength", () => IsArc ? Arcs.Length(Record) : 0.0); }
        }

        public int BeamNumber
        {
            get { return Get("BeamNumber", () => Record.Number); }
        }

        /// <summary>The only place where a failed calculation gives its reason.</summary>
        public IEnumerable<BeamCalculationLog> CalculationLogs
        {
            get { return Get("CalculationLogs", () => Record.Logs.Select(log => new BeamCalculationLog(_plan, this, log)).ToList()); }
        }

        public ControlPointCollection ControlPoints
        {
            get { return Get("ControlPoints", () => new ControlPointCollection(_plan, this)); }
        }

        /// <summary>Null: the physics keeps only the plan's dose.</summary>
        public BeamDose Dose
        {
            get { return Get("Dose", () => (BeamDose)null); }
        }

        public int DoseRate
        {
            get { return Get("DoseRate", () => Record.DoseRate); }
        }

        public string EnergyModeDisplayName
        {
            get { return Get("EnergyModeDisplayName", () => Record.Energy); }
        }

        public GantryDirection GantryDirection
        {
            get { return Get("GantryDirection", () => IsArc ? Arcs.Direction(Record) : GantryDirection.None); }
        }

        public VVector IsocenterPosition
        {
            get { return Get("IsocenterPosition", () => Vectors.From(Record.Isocentre)); }
        }

        public bool IsSetupField
        {
            get { return Get("IsSetupField", () => Record.Setup); }
        }

        /// <summary>Of one fraction, as the dose is normalised; undefined without a valid dose.</summary>
        public MetersetValue Meterset
        {
            get { return Get("Meterset", () => Mu == null ? new MetersetValue(double.NaN, DosimeterUnit.Null) : new MetersetValue(Mu.Value, DosimeterUnit.MU)); }
        }

        public double MetersetPerGy
        {
            get { return Get("MetersetPerGy", () => Mu / _plan.Record.DosePerFractionGy ?? double.NaN); }
        }

        /// <summary>Null for an open field; an optimization gives a field its machine's.</summary>
        public MLC MLC
        {
            get { return Get("MLC", () => Record.Mlc == "" ? null : new MLC(Life, Record.Mlc)); }
        }

        /// <summary>An arc is ArcDynamic until an optimization makes it VMAT, and none here does.</summary>
        public MLCPlanType MLCPlanType
        {
            get { return Get("MLCPlanType", LeavesDo); }
        }

        public PlanSetup Plan
        {
            get { return Get("Plan", () => _plan); }
        }

        /// <summary>The physics does not tell.</summary>
        public double SSD
        {
            get { return Get("SSD", () => double.NaN); }
        }

        public Technique Technique
        {
            get { return Get("Technique", () => new Technique(Life, Record.Technique)); }
        }

        public string ToleranceTableLabel
        {
            get { return Get("ToleranceTableLabel", () => ""); }
        }

        public ExternalBeamTreatmentUnit TreatmentUnit
        {
            get { return Get("TreatmentUnit", () => new ExternalBeamTreatmentUnit(Life, Record.Machine)); }
        }

        public double WeightFactor
        {
            get { return Get("WeightFactor", () => Record.Weight); }
        }

#if ESAPI18
        public double CollimatorRotation
        {
            get { return Get("CollimatorRotation", () => Angles.Collimator(Life.Settings, Record.CollimatorDeg)); }
        }

        public bool IsIMRT
        {
            get { return Get("IsIMRT", () => !IsArc && LeavesDo() == MLCPlanType.DoseDynamic); }
        }

#endif
        /// <summary>A copy to edit; nothing changes until ApplyParameters.</summary>
        public BeamParameters GetEditableParameters()
        {
            return Call("GetEditableParameters", () => new BeamParameters(this));
        }

        /// <summary>Changed geometry takes fluence, leaf motions and dose away; a changed weight the dose.</summary>
        public void ApplyParameters(BeamParameters beamParams)
        {
            Change("ApplyParameters", () =>
            {
                if (beamParams == null || !ReferenceEquals(beamParams.Source, Record))
                {
                    throw new ArgumentException("The parameters were not read from beam " + Record.Id + ".", "beamParams");
                }
                beamParams.Write(_plan);
            });
        }

        /// <summary>
        /// Null, or by switch an exception, before an optimization. The physics keeps the values to itself: what comes is ones over the field's opening.
        /// </summary>
        public Fluence GetOptimalFluence()
        {
            return Call("GetOptimalFluence", () => _plan.Record.Fluence == null || Record.Setup ? NoFluence() : Ones());
        }

        /// <summary>The control points that the API shows.</summary>
        internal int ControlPointCount
        {
            get { return Math.Max(2, Record.ControlPoints); }
        }

        private double? Mu
        {
            get { return _plan.HasDose ? Record.Mu * _plan.Scale : null; }
        }

        private MLCPlanType LeavesDo()
        {
            if (IsArc)
            {
                return MLCPlanType.ArcDynamic;
            }
            if (Record.Mlc == "")
            {
                return MLCPlanType.NotDefined;
            }
            return Record.ControlPoints > 2 || _plan.Record.Fluence != null ? MLCPlanType.DoseDynamic : MLCPlanType.Static;
        }

        private Fluence NoFluence()
        {
            if (Life.Settings.Switches.NoFluenceThrows)
            {
                throw new ApplicationException("Beam " + Record.Id + " has no optimal fluence.");
            }
            return null;
        }

        private Fluence Ones()
        {
            const double pixelMm = 2.5;
            double[] jaws = Record.Jaws;
            var pixels = new float[Math.Max(1, (int)((jaws[3] - jaws[1]) / pixelMm)), Math.Max(1, (int)((jaws[2] - jaws[0]) / pixelMm))];
            for (int row = 0; row < pixels.GetLength(0); row++)
            {
                for (int column = 0; column < pixels.GetLength(1); column++)
                {
                    pixels[row, column] = 1f;
                }
            }
            return new Fluence(pixels, jaws[0] + pixelMm / 2, jaws[3] - pixelMm / 2, Record.Mlc);
        }

        private void Change(string member, Action write)
        {
            Set(member, () =>
            {
                _plan.RequireEditable("Beam." + member);
                write();
            });
        }
    }

    /// <summary>What a calculation wrote about a beam.</summary>
    public class BeamCalculationLog : GuardedPart
    {
        private readonly Beam _beam;
        private readonly LogRecord _log;

        internal BeamCalculationLog(PlanSetup plan, Beam beam, LogRecord log) : base(plan)
        {
            _beam = beam;
            _log = log;
        }

        public Beam Beam
        {
            get { return Get("Beam", () => _beam); }
        }

        /// <summary>"Optimization", "LMC" or "Dose".</summary>
        public string Category
        {
            get { return Get("Category", () => _log.Category); }
        }

        public IEnumerable<string> MessageLines
        {
            get { return Get("MessageLines", () => _log.Lines.ToList()); }
        }
    }
}
