using System;

namespace Beamwright.EmulatedEclipse
{
    /// <summary>
    /// Plays Eclipse for a plug-in: opens a patient on its user-interface thread, loads the plug-in's assembly, calls
    /// Execute, carries out what the person does meanwhile, and tells what is unsaved then. One JSON object a line.
    /// </summary>
    public static class EclipseHost
    {
        private const string Usage =
            "EclipseHost --patient ID --plugin DLL [--course ID --plan ID] [--runs N] [--stay SECONDS] "
            + "[--after save|discard|nothing]";

        [STAThread]
        public static int Main(string[] arguments)
        {
            Options options = Options.Of(arguments);
            if (options == null)
            {
                Console.Error.WriteLine(Usage);
                return 64;
            }
            var report = new Report(Console.Out);
            Console.SetOut(report.ForPlugIn());
            try
            {
                new UserSession(options, report).Play();
                return 0;
            }
            catch (Exception error)
            {
                report.Tell("failed", "kind", error.GetType().Name, "message", error.Message);
                return 1;
            }
        }
    }
}
