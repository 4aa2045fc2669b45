using System;
using System.IO;
using System.Runtime.CompilerServices;
using System.Threading;
using VMS.TPS.Common.Model.API;

namespace Beamwright
{
    /// <summary>
    /// One session: window, Python, server, and the turns of the server's calls on this thread, until the person ends
    /// it. Whatever goes wrong is told in a sentence; nothing is thrown at Eclipse.
    /// </summary>
    public sealed class AgentSession
    {
        private const string Module = "bridge.commands.in_eclipse";
        private static int running;

        private readonly ScriptContext context;

        private AgentSession(ScriptContext context)
        {
            this.context = context;
        }

        /// <summary>Runs a session with what is open in Eclipse.</summary>
        public static void Run(ScriptContext context)
        {
            if (Interlocked.Exchange(ref running, 1) == 1)
            {
                Notice.Tell("An agent session is open already; there can be one at a time. Use its window, or close it first.");
                return;
            }
            try
            {
                new AgentSession(context).Serve();
            }
            catch (Refusal refusal)
            {
                Notice.Tell(refusal.Message);
            }
            catch (Exception error)
            {
                Notice.Tell(Unexpected(error));
            }
            finally
            {
                Interlocked.Exchange(ref running, 0);
            }
        }

        private void Serve()
        {
            RequirePlan();
            Settings settings = Settings.Read();
            Notice.OnConsole = !settings.IsForm;
            ISessionWindow window = Open(settings);
            using ((IDisposable)window)
            {
                window.Show("state", "starting Python");
                window.Breathe();
                window.Show("result", Result(settings, window));
            }
        }

        private string Result(Settings settings, ISessionWindow window)
        {
            try
            {
                return InPython(settings, window);
            }
            catch (Refusal refusal)
            {
                return refusal.Message;
            }
            catch (Exception error) when (error is FileNotFoundException || error is FileLoadException || error is TypeLoadException)
            {
                return "Python.Runtime.dll, or what it needs, cannot be loaded: " + error.Message + " It must lie beside the plug-in, and "
                    + ".NET Framework 4.7.2 or later must be installed.";
            }
            catch (Exception error)
            {
                window.Say(error is PythonFault ? ((PythonFault)error).Details : error.ToString());
                return Unexpected(error);
            }
        }

        [MethodImpl(MethodImplOptions.NoInlining)] // what it names is looked for only once it is entered
        private string InPython(Settings settings, ISessionWindow window)
        {
            PythonHost.Start(settings);
            return PythonHost.Call(Module, "serve", context, settings.IniPath, window);
        }

        private void RequirePlan()
        {
            if (context.Patient == null)
            {
                throw new Refusal("No patient is open. Open a patient and an external beam plan, then start the script again.");
            }
            if (context.ExternalPlanSetup == null)
            {
                throw new Refusal("No external beam plan is open. Open the plan to work from, then start the script again.");
            }
        }

        private static ISessionWindow Open(Settings settings)
        {
            return settings.IsForm ? (ISessionWindow)new FormWindow(settings) : new ConsoleWindow(settings);
        }

        private static string Unexpected(Exception error)
        {
            return "The session ended because of a defect in beamwright (" + error.GetType().Name + ": " + error.Message
                + "). Check in Eclipse what is there before you save.";
        }
    }
}
