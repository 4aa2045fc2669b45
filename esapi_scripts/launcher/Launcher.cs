using System;
using System.Reflection;
using System.Runtime.CompilerServices;
using VMS.TPS.Common.Model.API;

[assembly: AssemblyTitle("Beamwright launcher")]
[assembly: AssemblyDescription("Serves patients to a planning agent on this computer, without Eclipse's window. For research.")]
[assembly: AssemblyVersion("0.1.0.0")]
[assembly: AssemblyFileVersion("0.1.0.0")]
[assembly: ESAPIScript(IsWriteable = true)]

namespace Beamwright
{
    /// <summary>
    /// The stand-alone server as a program that can be approved: the same Python, but ESAPI is entered from here, since
    /// python.exe itself cannot be approved as a script.
    /// </summary>
    public static class Launcher
    {
        private const string Module = "bridge.commands.in_eclipse";

        /// <summary>Serves until the line "close" is typed or Ctrl-C pressed; 0 if it ended as it should.</summary>
        [STAThread]
        public static int Main()
        {
            NeededAssemblies.FindBesideThis();
            return Run();
        }

        [MethodImpl(MethodImplOptions.NoInlining)] // what it names is looked for only once it is entered
        private static int Run()
        {
            try
            {
                Settings settings = Settings.Read();
                PythonHost.Start(settings);
                using (var window = new ConsoleWindow(settings))
                {
                    Console.CancelKeyPress += (sender, pressed) =>
                    {
                        pressed.Cancel = true;
                        window.Close();
                    };
                    window.Show("result", Serve(settings, window));
                }
                return 0;
            }
            catch (Refusal refusal)
            {
                Console.Error.WriteLine(refusal.Message);
                return 1;
            }
            catch (PythonFault fault)
            {
                Console.Error.WriteLine("A defect in beamwright ended the server: " + fault.Message);
                Console.Error.WriteLine(fault.Details);
                return 2;
            }
            finally
            {
                PythonHost.End();
            }
        }

        private static string Serve(Settings settings, ISessionWindow window)
        {
            using (Application application = Attached())
            {
                return PythonHost.Call(Module, "serve_stand_alone", application, settings.IniPath, window);
            }
        }

        private static Application Attached()
        {
            try
            {
                return Application.CreateApplication();
            }
            catch (Exception error)
            {
                throw new Refusal("Eclipse cannot be entered from here: " + error.Message + " Is this a computer with Eclipse, is the "
                    + "script approved, and does no other program of yours use ESAPI?");
            }
        }
    }
}
