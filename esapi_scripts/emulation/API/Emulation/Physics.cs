using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.IO;
using System.Linq;
using System.Text;

namespace Beamwright.Emulation
{
    /// <summary>What the physics answered: a JSON object and, for arrays, bytes.</summary>
    internal sealed class Reply
    {
        public IDictionary<string, object> Header;
        public byte[] Blob;
    }

    /// <summary>
    /// The database and the physics: a child process that answers over its standard input and output. One per process;
    /// started at first need, started again when it has died or when the settings name another one.
    /// </summary>
    internal sealed class Physics
    {
        private static readonly object Door = new object();
        private static Physics _running;

        private readonly string[] _command;
        private Process _process;

        private Physics(string[] command)
        {
            _command = command;
        }

        /// <summary>The physics that the settings name.</summary>
        public static Physics For(Settings settings)
        {
            if (settings.Physics == null)
            {
                throw new PhysicsException(
                    "Gone", "The emulation has no physics: name its command under \"physics\" in the file that BEAMWRIGHT_EMULATION names.");
            }
            lock (Door)
            {
                if (_running == null || !_running._command.SequenceEqual(settings.Physics))
                {
                    Physics before = _running;
                    _running = new Physics(settings.Physics);
                    if (before != null)
                    {
                        before.Stop();
                    }
                }
                return _running;
            }
        }

        /// <summary>Asks and waits for the answer; lines that come before it are handed to onTrace.</summary>
        public Reply Ask(string verb, IDictionary<string, object> args = null, Action<string> onTrace = null)
        {
            lock (Door)
            {
                try
                {
                    return Exchange(verb, args, onTrace);
                }
                catch (IOException gone)
                {
                    Stop();
                    throw new PhysicsException("Gone", "The physics process ended while it was asked to " + verb + " (" + gone.Message + ").");
                }
            }
        }

        /// <summary>Kills the child, as a crash would. The next question starts a new one.</summary>
        public void Kill()
        {
            if (_process != null && !_process.HasExited)
            {
                _process.Kill();
                _process.WaitForExit(5000);
            }
            _process = null;
        }

        /// <summary>Lets the child end by closing its input, and kills it when it does not.</summary>
        public void Stop()
        {
            Process child = _process;
            _process = null;
            if (child == null)
            {
                return;
            }
            try
            {
                child.StandardInput.BaseStream.Close();
            }
            catch (IOException)
            {
            }
            if (!child.WaitForExit(2000))
            {
                child.Kill();
            }
        }

        private Reply Exchange(string verb, IDictionary<string, object> args, Action<string> onTrace)
        {
            var request = args == null ? new Dictionary<string, object>() : new Dictionary<string, object>(args);
            request["verb"] = verb;
            Process child = Child();
            Send(child, request);
            while (true)
            {
                Reply reply = Receive(child);
                object line = reply.Header.Get("trace");
                if (line == null)
                {
                    return Accepted(reply);
                }
                if (onTrace != null)
                {
                    onTrace((string)line);
                }
            }
        }

        private static Reply Accepted(Reply reply)
        {
            if (!reply.Header.Flag("ok"))
            {
                throw new PhysicsException(reply.Header.Text("kind", "Failed"), reply.Header.Text("message", "The physics gave no reason."));
            }
            return reply;
        }

        private static void Send(Process child, IDictionary<string, object> request)
        {
            byte[] header = Encoding.UTF8.GetBytes(Json.Write(request));
            var frame = new MemoryStream();
            var writer = new BinaryWriter(frame);
            writer.Write((uint)header.Length);
            writer.Write((uint)0);
            writer.Write(header);
            Stream pipe = child.StandardInput.BaseStream;
            pipe.Write(frame.GetBuffer(), 0, (int)frame.Length);
            pipe.Flush();
        }

        private static Reply Receive(Process child)
        {
            Stream pipe = child.StandardOutput.BaseStream;
            byte[] lengths = Take(pipe, 8);
            byte[] header = Take(pipe, checked((int)BitConverter.ToUInt32(lengths, 0)));
            byte[] blob = Take(pipe, checked((int)BitConverter.ToUInt32(lengths, 4)));
            return new Reply { Header = Json.Parse(Encoding.UTF8.GetString(header)), Blob = blob };
        }

        private static byte[] Take(Stream pipe, int count)
        {
            var bytes = new byte[count];
            int have = 0;
            while (have < count)
            {
                int got = pipe.Read(bytes, have, count - have);
                if (got == 0)
                {
                    throw new EndOfStreamException("its output ended");
                }
                have += got;
            }
            return bytes;
        }

        private Process Child()
        {
            if (_process == null || _process.HasExited)
            {
                _process = Start();
            }
            return _process;
        }

        private Process Start()
        {
            var start = new ProcessStartInfo(_command[0], string.Join(" ", _command.Skip(1).Select(Quoted)))
            {
                UseShellExecute = false,
                RedirectStandardInput = true,
                RedirectStandardOutput = true,
            };
            try
            {
                return Process.Start(start);
            }
            catch (System.ComponentModel.Win32Exception error)
            {
                throw new PhysicsException("Gone", "The physics did not start: " + string.Join(" ", _command) + " (" + error.Message + ").");
            }
        }

        private static string Quoted(string word)
        {
            return "\"" + word.Replace("\"", "\\\"") + "\"";
        }
    }
}
