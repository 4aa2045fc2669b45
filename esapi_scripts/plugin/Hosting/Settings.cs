using System;
using System.IO;

namespace Beamwright
{
    /// <summary>What the configuration file says about Python, the agent and the window; the rest is read in Python.</summary>
    public sealed class Settings
    {
        public const string FileName = "beamwright.ini";
        public const string Variable = "BEAMWRIGHT_INI";

        private Settings(IniFile file)
        {
            file.AllowOnly("python", "dll", "venv");
            file.AllowOnly("agent", "command", "folder", "output");
            file.AllowOnly("window", "kind", "eclipse_stays_usable");
            IniPath = file.Path;
            EsapiFolder = file.Value("esapi", "dll_folder");
            PythonDll = file.Required("python", "dll", "the full path of python3xx.dll");
            Venv = file.Required("python", "venv", "the folder of the virtual environment with beamwright in it");
            AgentCommand = file.Value("agent", "command");
            AgentFolder = file.Value("agent", "folder");
            AgentHasOwnConsole = file.OneOf("agent", "output", "window", "console") == "console";
            IsForm = file.OneOf("window", "kind", "form", "console") == "form";
            EclipseStaysUsable = file.OneOf("window", "eclipse_stays_usable", "yes", "no") == "yes";
        }

        public string IniPath { get; }

        /// <summary>Where Varian's assemblies are, for a process of our own; empty where they need not be looked for.</summary>
        public string EsapiFolder { get; }

        public string PythonDll { get; }

        public string Venv { get; }

        public string AgentCommand { get; }

        public string AgentFolder { get; }

        public bool AgentHasOwnConsole { get; }

        public bool IsForm { get; }

        public bool EclipseStaysUsable { get; }

        /// <summary>From the file that BEAMWRIGHT_INI names, otherwise from the one beside this assembly.</summary>
        public static Settings Read()
        {
            string named = Environment.GetEnvironmentVariable(Variable);
            if (!string.IsNullOrEmpty(named))
            {
                return new Settings(new IniFile(Path.GetFullPath(named)));
            }
            if (NeededAssemblies.Folder.Length == 0)
            {
                throw new Refusal("Eclipse loaded the plug-in from memory, so the folder of " + FileName
                    + " is unknown. Name the file in the environment variable " + Variable + ".");
            }
            return new Settings(new IniFile(Path.Combine(NeededAssemblies.Folder, FileName)));
        }
    }
}
