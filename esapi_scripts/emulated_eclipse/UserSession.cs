using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.IO;
using System.Linq;
using System.Reflection;
using System.Threading;
using System.Windows.Threading;
using Beamwright.Emulation;
using VMS.TPS.Common.Model.API;

namespace Beamwright.EmulatedEclipse
{
    /// <summary>
    /// A person at Eclipse. Their actions wait for a turn of the user interface, as clicks do; with "force" in front
    /// they happen at once, as when the session is taken away from outside.
    /// </summary>
    public sealed class UserSession
    {
        private static readonly string[] Actions = { "change-plan", "close-patient", "save", "run", "quit" };

        private readonly Options options;
        private readonly Report report;
        private readonly Dispatcher ui = Dispatcher.CurrentDispatcher;
        private readonly Heartbeat heartbeat;
        private readonly HashSet<string> plansBefore = new HashSet<string>();
        private readonly HashSet<string> structuresBefore = new HashSet<string>();
        private ScriptContext context;
        private MethodInfo execute;
        private bool patientIsOpen;
        private bool quitting;

        public UserSession(Options options, Report report)
        {
            this.options = options;
            this.report = report;
            heartbeat = new Heartbeat(ui);
        }

        public void Play()
        {
            Open();
            execute = EntryOf(options.PlugIn);
            new Keyboard(IsAction, Act).Listen();
            heartbeat.Start();
            for (int run = 1; run <= options.Runs && !quitting; run++)
            {
                RunScript(run);
            }
            Stay(TimeSpan.FromSeconds(options.StaySeconds));
            TellUnsaved();
            End();
            report.Tell("ended", "ui_turns", heartbeat.Turns, "longest_ui_pause_ms", heartbeat.LongestPauseMs);
        }

        private static bool IsAction(string line)
        {
            return Actions.Contains(line.StartsWith("force ") ? line.Substring(6) : line);
        }

        private static MethodInfo EntryOf(string file)
        {
            Type script = Assembly.LoadFrom(Path.GetFullPath(file)).GetType("VMS.TPS.Script", true);
            MethodInfo found = script.GetMethod("Execute", new[] { typeof(ScriptContext) });
            if (found == null)
            {
                throw new ArgumentException(file + " has no VMS.TPS.Script.Execute(ScriptContext).");
            }
            return found;
        }

        private void Open()
        {
            context = Hospital.Open(options.Patient, options.Course, options.Plan);
            patientIsOpen = true;
            plansBefore.UnionWith(Plans());
            structuresBefore.UnionWith(Structures());
            report.Tell("opened", "patient", options.Patient, "course", options.Course, "plan", options.Plan,
                "version", context.VersionInfo);
        }

        private void RunScript(int run)
        {
            report.Tell("execute", "run", run);
            Stopwatch clock = Stopwatch.StartNew();
            try
            {
                execute.Invoke(Activator.CreateInstance(execute.DeclaringType), new object[] { context });
                report.Tell("returned", "run", run, "seconds", Math.Round(clock.Elapsed.TotalSeconds, 3));
            }
            catch (TargetInvocationException thrown)
            {
                Exception error = thrown.InnerException;
                report.Tell("thrown", "run", run, "kind", error.GetType().FullName, "message", error.Message);
            }
        }

        private void Stay(TimeSpan time)
        {
            Stopwatch clock = Stopwatch.StartNew();
            while (clock.Elapsed < time && !quitting)
            {
                var turn = new DispatcherFrame();
                ui.BeginInvoke(DispatcherPriority.Background, (Action)(() => turn.Continue = false));
                Dispatcher.PushFrame(turn);
                Thread.Sleep(10);
            }
        }

        private void Act(string line)
        {
            if (line.StartsWith("force "))
            {
                Try(line, () => Force(line.Substring(6)));
            }
            else
            {
                ui.BeginInvoke(DispatcherPriority.Input, (Action)(() => Try(line, () => Do(line))));
            }
        }

        private void Try(string line, Action action)
        {
            try
            {
                action();
                report.Tell("action", "action", line, "done", true);
            }
            catch (Exception error)
            {
                report.Tell("action", "action", line, "done", false, "kind", error.GetType().Name, "message", error.Message);
            }
        }

        private void Do(string action)
        {
            switch (action)
            {
                case "change-plan":
                    ChangePlan();
                    break;
                case "close-patient":
                    Hospital.ForceClose(); // "close without saving"
                    patientIsOpen = false;
                    break;
                case "save":
                    Hospital.Save();
                    break;
                case "run":
                    RunScript(0);
                    break;
                case "quit":
                    quitting = true;
                    ui.InvokeShutdown();
                    break;
            }
        }

        private void Force(string action)
        {
            switch (action)
            {
                case "close-patient":
                    Hospital.ForceClose();
                    patientIsOpen = false;
                    break;
                case "quit":
                    report.Tell("ended", "forced", true);
                    Process.GetCurrentProcess().Kill();
                    break;
                default:
                    throw new ArgumentException("only close-patient and quit can be forced.");
            }
        }

        private void ChangePlan()
        {
            context.Patient.BeginModifications();
            context.PlanSetup.PlanNormalizationValue += 1.0;
        }

        private void TellUnsaved()
        {
            if (!patientIsOpen)
            {
                report.Tell("unsaved", "patient_open", false);
                return;
            }
            report.Tell("unsaved", "patient_open", true, "has_unsaved", Hospital.HasUnsaved,
                "new_plans", Plans().Where(plan => !plansBefore.Contains(plan)).ToArray(),
                "new_structures", Structures().Where(structure => !structuresBefore.Contains(structure)).ToArray());
        }

        private void End()
        {
            if (patientIsOpen && options.After == "save")
            {
                Hospital.Save();
                report.Tell("saved");
            }
            if (patientIsOpen && options.After != "nothing")
            {
                Hospital.ForceClose();
                patientIsOpen = false;
                report.Tell("closed");
            }
        }

        private IEnumerable<string> Plans()
        {
            return (from course in context.Patient.Courses.ToArray()
                    from plan in course.PlanSetups.ToArray()
                    select course.Id + "/" + plan.Id).ToArray();
        }

        private IEnumerable<string> Structures()
        {
            return context.StructureSet == null
                ? new string[0]
                : context.StructureSet.Structures.Select(structure => structure.Id).ToArray();
        }
    }
}
