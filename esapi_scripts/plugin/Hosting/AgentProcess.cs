using System;
using System.Collections.Generic;
using System.ComponentModel;
using System.Diagnostics;
using System.IO;
using System.Text;
using System.Threading;

namespace Beamwright
{
    /// <summary>The agent as a program of its own, started by the person; its words become lines of the window.</summary>
    public sealed class AgentProcess
    {
        private readonly AgentCommand command;
        private readonly Settings settings;
        private readonly Action<string> say;
        private readonly object turn = new object();
        private Process process;

        public AgentProcess(Settings settings, Action<string> say)
        {
            this.settings = settings;
            this.say = say;
            command = new AgentCommand(settings.AgentCommand);
        }

        /// <summary>Whether the configuration file names an agent.</summary>
        public bool IsNamed
        {
            get { return !command.IsEmpty; }
        }

        public bool Runs
        {
            get
            {
                lock (turn)
                {
                    return process != null && !process.HasExited;
                }
            }
        }

        /// <summary>Starts it; a refusal says why it cannot be.</summary>
        public void Start(IDictionary<string, string> values)
        {
            lock (turn)
            {
                if (!IsNamed)
                {
                    throw new Refusal(settings.IniPath + ": [agent] command is empty, so there is no agent to start from here. "
                        + "Start it yourself with the endpoint and the token file that are shown.");
                }
                if (process != null && !process.HasExited)
                {
                    throw new Refusal("The agent is running already.");
                }
                process = Started(values);
            }
        }

        /// <summary>Gives it time to notice that the server has gone, then ends it; returns at once.</summary>
        public void EndWithin(TimeSpan time)
        {
            if (Runs)
            {
                Process running = process;
                new Thread(() => Careful.Do(say, "stop the agent", () => End(running, time)))
                {
                    Name = "end of the agent"
                }.Start();
            }
        }

        private void End(Process running, TimeSpan time)
        {
            if (running.WaitForExit((int)time.TotalMilliseconds))
            {
                return;
            }
            try
            {
                running.Kill();
                say("The agent did not end by itself and was stopped.");
            }
            catch (Exception error) when (error is InvalidOperationException || error is Win32Exception)
            {
                // it ended in between
            }
        }

        private Process Started(IDictionary<string, string> values)
        {
            var start = new ProcessStartInfo(command.Program, command.Arguments(values));
            start.UseShellExecute = false;
            start.WorkingDirectory = Folder();
            start.CreateNoWindow = !settings.AgentHasOwnConsole;
            start.RedirectStandardOutput = start.RedirectStandardError = !settings.AgentHasOwnConsole;
            start.EnvironmentVariables["PYTHONIOENCODING"] = "utf-8";
            start.EnvironmentVariables["PYTHONUNBUFFERED"] = "1";
            if (!settings.AgentHasOwnConsole)
            {
                start.StandardOutputEncoding = start.StandardErrorEncoding = new UTF8Encoding(false);
                start.EnvironmentVariables["NO_COLOR"] = "1";
            }
            var made = new Process { StartInfo = start, EnableRaisingEvents = true };
            made.Exited += (sender, nothing) => Careful.Do(
                say, "read how the agent ended", () => say("The agent has ended with status " + made.ExitCode + "."));
            try
            {
                made.Start();
            }
            catch (Win32Exception error)
            {
                throw new Refusal("The agent's program " + command.Program + " cannot be started: " + error.Message
                    + " See [agent] command in " + settings.IniPath + ".");
            }
            if (!settings.AgentHasOwnConsole)
            {
                made.OutputDataReceived += (sender, heard) => Pass(heard.Data);
                made.ErrorDataReceived += (sender, heard) => Pass(heard.Data);
                made.BeginOutputReadLine();
                made.BeginErrorReadLine();
            }
            return made;
        }

        private string Folder()
        {
            if (settings.AgentFolder.Length == 0)
            {
                return Environment.GetFolderPath(Environment.SpecialFolder.UserProfile);
            }
            try
            {
                return Directory.CreateDirectory(settings.AgentFolder).FullName;
            }
            catch (Exception error) when (error is IOException || error is UnauthorizedAccessException
                || error is ArgumentException || error is NotSupportedException)
            {
                throw new Refusal(settings.IniPath + ": [agent] folder = '" + settings.AgentFolder + "' cannot be made: "
                    + error.Message);
            }
        }

        private void Pass(string line)
        {
            if (line != null)
            {
                say("agent: " + line);
            }
        }
    }
}
