using System;
using System.IO;
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
        private const string Esapi = "VMS.TPS.Common.Model.API";
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
                Assembly esapi = Loaded(settings);
                PythonHost.Start(settings);
                using (var window = new ConsoleWindow(settings))
                {
                    Console.CancelKeyPress += (sender, pressed) =>
                    {
                        pressed.Cancel = true;
                        window.Close();
                    };
                    window.Show("result", Serve(settings, window, esapi));
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
            catch (Exception error)
            {
                Console.Error.WriteLine("The server could not go on: " + error.Message);
                return 1;
            }
            finally
            {
                PythonHost.End();
            }
        }

        private static string Serve(Settings settings, ISessionWindow window, Assembly esapi)
        {
            using (IDisposable application = Attached(esapi))
            {
                return PythonHost.Call(Module, "serve_stand_alone", application, settings.IniPath, window);
            }
        }

        /// <summary>Varian's assembly: from the folder that is named, otherwise from where programs find theirs.</summary>
        private static Assembly Loaded(Settings settings)
        {
            string told = settings.IniPath + ": [esapi] dll_folder = '" + settings.EsapiFolder + "': ";
            string folder = Path.Combine(Path.GetDirectoryName(settings.IniPath), settings.EsapiFolder);
            string file = Path.Combine(folder, Esapi + ".dll");
            if (settings.EsapiFolder.Length > 0 && !File.Exists(file))
            {
                throw new Refusal(told + "there is no " + Esapi + ".dll. Expected Eclipse's folder esapi\\API.");
            }
            try
            {
                if (settings.EsapiFolder.Length == 0)
                {
                    return Assembly.Load(Esapi);
                }
                NeededAssemblies.FindEsapiIn(Path.GetFullPath(folder));
                Assembly.LoadFrom(Path.Combine(Path.GetFullPath(folder), "VMS.TPS.Common.Model.Types.dll"));
                return Assembly.LoadFrom(Path.GetFullPath(file));
            }
            catch (Exception error) when (error is IOException || error is BadImageFormatException)
            {
                throw new Refusal(told + "Varian's assemblies cannot be loaded: " + error.Message
                    + " Name Eclipse's folder esapi\\API there.");
            }
        }

        // through its name, since whoever starts a program may look for what it refers to before this has told where it is
        private static IDisposable Attached(Assembly esapi)
        {
            try
            {
                MethodInfo create = esapi.GetType(Esapi + ".Application", true).GetMethod("CreateApplication", Type.EmptyTypes);
                return (IDisposable)create.Invoke(null, null);
            }
            catch (Exception error)
            {
                Exception cause = error is TargetInvocationException && error.InnerException != null ? error.InnerException : error;
                throw new Refusal("Eclipse cannot be entered from here: " + cause.Message + " Is this a computer with Eclipse, is the "
                    + "script approved, and does no other program of yours use ESAPI?");
            }
        }
    }
}
