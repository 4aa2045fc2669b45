using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Globalization;
using System.Linq;
using System.Threading;
using VMS.TPS.Common.Model.API;
using VMS.TPS.Common.Model.Types;

namespace Beamwright.Emulation
{
    /// <summary>
    /// Optimization, leaf motions and dose of one plan. What a caller has forgotten (a model, any beam) is an exception;
    /// what a calculation cannot do is a failure whose reason is in the beams' logs only. Which of both ESAPI does where
    /// is not known (?): this is one reading.
    /// </summary>
    internal sealed class PlanCalculation
    {
        public const string Optimization = "Optimization";
        public const string LeafMotions = "LMC";
        public const string Dose = "Dose";

        private const int SliceMs = 100;
        private const int SlicesPerLine = 5;

        private readonly PlanSetup _plan;

        public PlanCalculation(PlanSetup plan)
        {
            _plan = plan;
        }

        /// <summary>The beams that treat.</summary>
        public List<BeamRecord> Beams
        {
            get { return _plan.Record.Beams.Where(beam => !beam.Setup).ToList(); }
        }

        /// <summary>Throws unless the plan has a model of this type, and beams: without beams there is no log to tell it in.</summary>
        public void RequireReady(CalculationType type)
        {
            if (_plan.Model(type) == "")
            {
                throw new ApplicationException("Plan " + _plan.Record.Id + " has no calculation model for " + type + ". Call SetCalculationModel first.");
            }
            if (Beams.Count == 0)
            {
                throw new ApplicationException("Plan " + _plan.Record.Id + " has no treatment beams. Add some first.");
            }
        }

        /// <summary>The physics' answer, its lines on the trace meanwhile and its logs in the beams; null when it did not succeed.</summary>
        public IDictionary<string, object> Ask(string verb, string category, IDictionary<string, object> more = null)
        {
            IDictionary<string, object> answer = _plan.Life.Physics.Ask(verb, Question(more), Tell).Header;
            foreach (KeyValuePair<string, object> entry in Json.Object(answer.Get("logs")) ?? new Dictionary<string, object>())
            {
                BeamRecord beam = Beams.FirstOrDefault(one => one.Id == entry.Key);
                if (beam != null)
                {
                    Log(beam, category, Json.Items(entry.Value).Select(log => LogRecord.From(Json.Object(log))));
                }
            }
            return answer.Flag("success") ? answer : null;
        }

        /// <summary>Writes why into every beam's log, where alone it can be found.</summary>
        public void Fail(string category, string reason)
        {
            foreach (BeamRecord beam in Beams)
            {
                Log(beam, category, new[] { new LogRecord { Category = category, Lines = new List<string> { reason } } });
            }
        }

        /// <summary>Goes on blocking until the seconds have passed since the start.</summary>
        public void Linger(Stopwatch since, double seconds)
        {
            for (int slice = 0; since.Elapsed.TotalSeconds < seconds; slice++)
            {
                if (slice % SlicesPerLine == 0)
                {
                    Tell(string.Format(CultureInfo.InvariantCulture, "Optimization: {0:0.0} s of at least {1:0.0} s", since.Elapsed.TotalSeconds, seconds));
                }
                Thread.Sleep(SliceMs);
            }
        }

        private void Tell(string line)
        {
            if (_plan.Life.Settings.Switches.Trace)
            {
                Trace.WriteLine(line);
            }
        }

        private Dictionary<string, object> Question(IDictionary<string, object> more)
        {
            StructureSetRecord set = _plan.StructureSetRecord;
            var question = new Dictionary<string, object>(more ?? new Dictionary<string, object>());
            question["patient"] = _plan.Life.Record.Id;
            question["plan"] = _plan.Record.To();
            question["structures"] = set == null ? new List<object>() : set.Structures.Select(structure => (object)structure.To()).ToList();
            return question;
        }

        private static void Log(BeamRecord beam, string category, IEnumerable<LogRecord> logs)
        {
            beam.Logs.RemoveAll(log => log.Category == category);
            beam.Logs.AddRange(logs);
        }
    }
}
