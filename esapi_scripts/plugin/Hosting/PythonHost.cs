using System;
using System.IO;
using System.Linq;
using Python.Runtime;

namespace Beamwright
{
    /// <summary>
    /// CPython inside this process. It is started once and stays until the process ends, since an interpreter that was
    /// shut down cannot be started again; between calls its lock is free, so that Python's own threads run.
    /// </summary>
    public static class PythonHost
    {
        private const string Refused = "CommandRefused";

        private const string EnterVenv = @"
import os, pathlib, re, site, sys
folder = pathlib.Path(venv)
made_by = re.search(r'^version(?:_info)?\s*=\s*(\d+)\.(\d+)', (folder / 'pyvenv.cfg').read_text('utf-8'), re.MULTILINE)
packages = [*folder.glob('[Ll]ib/site-packages'), *folder.glob('lib/python*/site-packages')]
running = '.'.join(map(str, sys.version_info[:2]))
if made_by is None or not packages:
    problem = f'{venv} is not a complete virtual environment: no version in pyvenv.cfg, or no site-packages.'
elif '.'.join(made_by.groups()) != running:
    problem = f'the virtual environment {venv} was made by Python {""."".join(made_by.groups())}, but [python] dll is Python {running}.'
else:
    problem = ''
    of_the_base = {*site.getsitepackages(), site.getusersitepackages()}
    sys.path[:] = [path for path in sys.path if path not in of_the_base]
    site.addsitedir(str(packages[0]))
    sys.executable = str(folder / ('Scripts/python.exe' if os.name == 'nt' else 'bin/python'))
    sys.stdout = sys.stdout or open(os.devnull, 'w', encoding='utf-8')
    sys.stderr = sys.stderr or open(os.devnull, 'w', encoding='utf-8')
";

        private static readonly object Turn = new object();
        private static string startedWith;
        private static IntPtr threads;

        /// <summary>Starts Python unless it runs; a refusal says what is wrong with the configuration.</summary>
        public static void Start(Settings settings)
        {
            lock (Turn)
            {
                string wanted = settings.PythonDll + " with " + settings.Venv;
                if (startedWith != null && startedWith != wanted)
                {
                    throw new Refusal("Python already runs in this process from " + startedWith + "; the configuration now names "
                        + wanted + ". Restart Eclipse to change it.");
                }
                if (startedWith == null)
                {
                    RequireFiles(settings);
                    Initialize(settings.PythonDll);
                    Enter(settings.Venv);
                    startedWith = wanted;
                }
            }
        }

        /// <summary>Calls a function of a Python module; what it returns is a sentence.</summary>
        public static string Call(string module, string function, params object[] arguments)
        {
            using (Py.GIL())
            {
                try
                {
                    using (PyObject imported = Py.Import(module))
                    using (PyObject called = imported.GetAttr(function))
                    using (PyObject answer = called.Invoke(arguments.Select(each => each.ToPython()).ToArray()))
                    {
                        return answer.As<string>();
                    }
                }
                catch (PythonException error)
                {
                    throw Translated(error, module);
                }
            }
        }

        /// <summary>Shuts Python down, in a process that is about to end.</summary>
        public static void End()
        {
            if (PythonEngine.IsInitialized)
            {
                PythonEngine.EndAllowThreads(threads);
                PythonEngine.Shutdown();
            }
        }

        private static void Initialize(string dll)
        {
            if (PythonEngine.IsInitialized)
            {
                return;
            }
            try
            {
                Runtime.PythonDLL = dll;
                PythonEngine.Initialize();
                threads = PythonEngine.BeginAllowThreads();
            }
            catch (Exception error)
            {
                Exception cause = error;
                while (cause.InnerException != null)
                {
                    cause = cause.InnerException;
                }
                throw new Refusal("Python could not be started from " + dll + ": " + cause.Message
                    + " It must be the 64-bit Python that the virtual environment was made with. Correct [python] dll and "
                    + "restart Eclipse.");
            }
        }

        private static void Enter(string venv)
        {
            using (Py.GIL())
            using (PyModule scope = Py.CreateScope())
            {
                scope.Set("venv", venv);
                scope.Exec(EnterVenv);
                string problem = scope.Get<string>("problem");
                if (problem.Length > 0)
                {
                    throw new Refusal("[python] in the configuration file: " + problem + " Correct it and restart Eclipse.");
                }
            }
        }

        private static void RequireFiles(Settings settings)
        {
            if (!File.Exists(settings.PythonDll))
            {
                throw new Refusal(settings.IniPath + ": [python] dll = '" + settings.PythonDll + "': there is no such file. "
                    + "Expected the full path of python3xx.dll.");
            }
            if (!File.Exists(Path.Combine(settings.Venv, "pyvenv.cfg")))
            {
                throw new Refusal(settings.IniPath + ": [python] venv = '" + settings.Venv + "' is not a virtual environment: "
                    + "there is no pyvenv.cfg in it.");
            }
        }

        private static Exception Translated(PythonException error, string module)
        {
            string kind = error.Type.Name;
            if (kind == Refused)
            {
                return new Refusal(error.Message);
            }
            if (kind == "ModuleNotFoundError")
            {
                return new Refusal(module + " cannot be loaded: " + error.Message + ". Install beamwright in the virtual "
                    + "environment that [python] venv names.");
            }
            return new PythonFault(kind + ": " + error.Message, error.StackTrace);
        }
    }
}
