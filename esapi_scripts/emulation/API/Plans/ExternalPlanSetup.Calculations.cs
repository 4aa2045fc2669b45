using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Linq;
using Beamwright.Emulation;
using VMS.TPS.Common.Model.Types;

namespace VMS.TPS.Common.Model.API
{
    public partial class ExternalPlanSetup
    {
        // Optimize ---------------------------------------------------------------------------------------------------

        public OptimizerResult Optimize()
        {
            return Imrt(new Start());
        }

        public OptimizerResult Optimize(int maxIterations)
        {
            return Imrt(new Start { Iterations = maxIterations });
        }

        public OptimizerResult Optimize(int maxIterations, OptimizationOption optimizationOption)
        {
            return Imrt(new Start { Iterations = maxIterations, Option = optimizationOption });
        }

        public OptimizerResult Optimize(int maxIterations, OptimizationOption optimizationOption, string mlcId)
        {
            return Imrt(new Start { Iterations = maxIterations, Option = optimizationOption, Mlc = mlcId });
        }

        public OptimizerResult Optimize(OptimizationOptionsIMRT options)
        {
            return Imrt(new Start { Iterations = options.MaximumNumberOfIterations, Option = options.StartOption, Mlc = options.MLC });
        }

        public OptimizerResult OptimizeVMAT()
        {
            return Vmat(new Start());
        }

        public OptimizerResult OptimizeVMAT(string mlcId)
        {
            return Vmat(new Start { Mlc = mlcId });
        }

        public OptimizerResult OptimizeVMAT(OptimizationOptionsVMAT options)
        {
            return Vmat(new Start { Option = options.StartOption, Mlc = options.MLC });
        }

        // Calculate --------------------------------------------------------------------------------------------------

        public CalculationResult CalculateLeafMotions()
        {
            return Alter("CalculateLeafMotions", () => new CalculationResult(this, MoveLeaves()));
        }

        public CalculationResult CalculateLeafMotions(LMCVOptions options)
        {
            return CalculateLeafMotions();
        }

        public CalculationResult CalculateLeafMotions(SmartLMCOptions options)
        {
            return CalculateLeafMotions();
        }

        public CalculationResult CalculateLeafMotions(LMCMSSOptions options)
        {
            return CalculateLeafMotions();
        }

        public CalculationResult CalculateDose()
        {
            return Alter("CalculateDose", () => new CalculationResult(this, DoseFound()));
        }

        public CalculationResult CalculateLeafMotionsAndDose()
        {
            return Alter("CalculateLeafMotionsAndDose", () => new CalculationResult(this, MoveLeaves() && DoseFound()));
        }

        // how --------------------------------------------------------------------------------------------------------

        private sealed class Start
        {
            /// <summary>Null: as many as the physics thinks fit.</summary>
            public int? Iterations;

            public OptimizationOption Option = OptimizationOption.RestartOptimization;
            public string Mlc;

            public bool Continues
            {
                get { return Option != OptimizationOption.RestartOptimization; }
            }
        }

        private OptimizerResult Imrt(Start start)
        {
            return Alter("Optimize", () => Optimised(start, CalculationType.PhotonIMRTOptimization));
        }

        private OptimizerResult Vmat(Start start)
        {
            return Alter("OptimizeVMAT", () => Optimised(start, CalculationType.PhotonVMATOptimization));
        }

        private OptimizerResult Optimised(Start start, CalculationType type)
        {
            var calculation = new PlanCalculation(this);
            calculation.RequireReady(type);
            RequireMlc(calculation.Beams, start.Mlc);
            Amounts.Within(start.Iterations ?? 1, 1, int.MaxValue, "maxIterations");
            ThrowOptimisationFault();
            string obstacle = Life.Settings.Faults.Optimise == "fails"
                ? Life.Settings.Faults.Reason
                : OptimisationObstacle(start, calculation.Beams, type);
            if (obstacle != null)
            {
                calculation.Fail(PlanCalculation.Optimization, obstacle);
                return new OptimizerResult(this, false, 0, 0, new OptimizerObjectiveValue[0]);
            }
            Stopwatch since = Stopwatch.StartNew();
            IDictionary<string, object> answer = calculation.Ask("optimise", PlanCalculation.Optimization, new Dictionary<string, object>
            {
                { "warm", start.Continues }, { "iterations", start.Iterations },
            });
            calculation.Linger(since, Life.Settings.OptimiseSeconds);
            return answer == null ? new OptimizerResult(this, false, 0, 0, new OptimizerObjectiveValue[0]) : Taken(answer, start, calculation.Beams);
        }

        private OptimizerResult Taken(IDictionary<string, object> answer, Start start, List<BeamRecord> beams)
        {
            DropLeafMotions();
            Record.Fluence = answer.Text("fluence");
            foreach (BeamRecord beam in beams)
            {
                WithLeaves(beam);
            }
            if (Life.Settings.Switches.IntermediateDose)
            {
                TakeDose(answer, "intermediate");
            }
            IEnumerable<OptimizerObjectiveValue> values = Json.Object(answer["structures"])
                .Select(entry => new OptimizerObjectiveValue(this, StructureNamed(entry.Key), Json.Number(entry.Value)));
            return new OptimizerResult(this, true, answer.Number("total"), Counted(answer.Whole("iterations"), start), values);
        }

        /// <summary>Those of this call or, by switch, all since an optimization began from nothing.</summary>
        private int Counted(int iterations, Start start)
        {
            PlanView view = PlanView.Of(Record);
            view.Iterations = start.Continues ? view.Iterations + iterations : iterations;
            return Life.Settings.Switches.IterationsCumulative ? view.Iterations : iterations;
        }

        private bool MoveLeaves()
        {
            var calculation = new PlanCalculation(this);
            calculation.RequireReady(CalculationType.PhotonLeafMotions);
            string obstacle = Life.Settings.Faults.LeafMotionsFail ? Life.Settings.Faults.Reason
                : ArcObstacle(calculation.Beams) ?? (Record.Fluence == null ? "There is no optimal fluence: optimize the plan first." : null);
            if (obstacle != null)
            {
                calculation.Fail(PlanCalculation.LeafMotions, obstacle);
                return false;
            }
            IDictionary<string, object> answer = calculation.Ask("leaf_motions", PlanCalculation.LeafMotions);
            if (answer == null)
            {
                return false;
            }
            DropLeafMotions();
            TakeBeams(answer);
            return true;
        }

        private bool DoseFound()
        {
            var calculation = new PlanCalculation(this);
            calculation.RequireReady(CalculationType.PhotonVolumeDose);
            if (Life.Settings.Faults.Dose == "throws")
            {
                throw new ApplicationException(Life.Settings.Faults.Reason);
            }
            string obstacle = Life.Settings.Faults.Dose == "fails" ? Life.Settings.Faults.Reason
                : PrescriptionObstacle() ?? ArcObstacle(calculation.Beams) ?? LeafObstacle(calculation.Beams);
            if (obstacle != null)
            {
                calculation.Fail(PlanCalculation.Dose, obstacle);
                return false;
            }
            IDictionary<string, object> answer = calculation.Ask("dose", PlanCalculation.Dose);
            if (answer == null)
            {
                return false;
            }
            TakeBeams(answer);
            TakeDose(answer, "final");
            return true;
        }

        private void TakeDose(IDictionary<string, object> answer, string kind)
        {
            Record.Dose = answer.Text("dose");
            Record.DoseValid = true;
            Record.DoseKind = kind;
        }

        private void TakeBeams(IDictionary<string, object> answer)
        {
            foreach (KeyValuePair<string, object> entry in Json.Object(answer["beams"]))
            {
                BeamRecord beam = Record.Beams.First(one => one.Id == entry.Key);
                IDictionary<string, object> found = Json.Object(entry.Value);
                beam.Mu = found.Number("mu");
                beam.ControlPoints = found.Whole("control_points", beam.ControlPoints);
            }
        }

        // why not ----------------------------------------------------------------------------------------------------

        /// <summary>"dies": the physics is killed as a crash would kill it, and the question meets a closed pipe.</summary>
        private void ThrowOptimisationFault()
        {
            Faults faults = Life.Settings.Faults;
            if (faults.Optimise == "throws")
            {
                throw new ApplicationException(faults.Reason);
            }
            if (faults.Optimise == "dies")
            {
                Life.Physics.Kill();
                throw new PhysicsException("Gone", "The physics process ended while it was asked to optimise. " + faults.Reason);
            }
        }

        private string OptimisationObstacle(Start start, List<BeamRecord> beams, CalculationType type)
        {
            if (type == CalculationType.PhotonVMATOptimization && beams.All(beam => beam.Technique == Static))
            {
                return "The plan has no arc fields: there is nothing to optimize by VMAT.";
            }
            if (Record.Objectives.All(objective => objective.Kind == "nto"))
            {
                return "The plan has no optimization objectives.";
            }
            if (start.Continues && Record.Fluence == null)
            {
                return "There is no earlier optimization to continue.";
            }
            if (start.Option == OptimizationOption.ContinueOptimizationWithPlanDoseAsIntermediateDose && !HasDose)
            {
                return "The plan has no valid dose to use as intermediate dose.";
            }
            return PrescriptionObstacle() ?? ArcObstacle(beams) ?? BaseDoseObstacle();
        }

        private string PrescriptionObstacle()
        {
            return Record.TotalDoseGy == null ? "The plan has no prescription." : null;
        }

        private static string ArcObstacle(List<BeamRecord> beams)
        {
            BeamRecord arc = beams.FirstOrDefault(beam => beam.Technique != Static);
            return arc == null ? null : "Field " + arc.Id + " is an arc: this system calculates static fields only.";
        }

        private string BaseDoseObstacle()
        {
#if ESAPI18
            return PlanView.Of(Record).BaseDose == null ? null : "A base dose plan is set: this system optimizes without one only.";
#else
            return null;
#endif
        }

        private string LeafObstacle(List<BeamRecord> beams)
        {
            BeamRecord open = Record.Fluence == null ? beams.First() : beams.FirstOrDefault(beam => beam.Mu == null);
            return open == null ? null : "Field " + open.Id + " has no leaf motions: optimize the plan and calculate leaf motions first.";
        }

        /// <summary>An MLC id may be left out: each machine has one.</summary>
        private void RequireMlc(List<BeamRecord> beams, string mlcId)
        {
            foreach (BeamRecord beam in beams)
            {
                MachineSettings machine;
                string known = Life.Settings.Machines.TryGetValue(beam.Machine, out machine) ? machine.Mlc : null;
                if (known == null)
                {
                    throw new ApplicationException("Treatment unit " + beam.Machine + " of field " + beam.Id + " is not configured.");
                }
                if (!string.IsNullOrEmpty(mlcId) && mlcId != known)
                {
                    throw new ArgumentException("Treatment unit " + beam.Machine + " has no MLC " + mlcId + "; it has " + known + ".", "mlcId");
                }
            }
        }
    }
}
