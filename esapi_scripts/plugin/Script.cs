using System.Reflection;
using System.Runtime.CompilerServices;
using Beamwright;
using VMS.TPS.Common.Model.API;

[assembly: AssemblyTitle("Beamwright agent session")]
[assembly: AssemblyDescription("Serves the open plan to a planning agent on this computer. For research.")]
[assembly: AssemblyVersion("0.1.0.0")]
[assembly: AssemblyFileVersion("0.1.0.0")]
[assembly: ESAPIScript(IsWriteable = true)]

namespace VMS.TPS
{
    /// <summary>What Eclipse calls. Everything it does is in <see cref="AgentSession"/>.</summary>
    public class Script
    {
        /// <summary>Serves the plan that is open until the person closes the window.</summary>
        public void Execute(ScriptContext context)
        {
            NeededAssemblies.FindBesideThis();
            Run(context);
        }

        [MethodImpl(MethodImplOptions.NoInlining)] // what it names is looked for only once it is entered
        private static void Run(ScriptContext context)
        {
            AgentSession.Run(context);
        }
    }
}
