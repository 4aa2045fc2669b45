using System;
using System.Collections.Concurrent;
using System.IO;
using System.Threading;

namespace Beamwright.EmulatedEclipse
{
    /// <summary>Standard input, split: the person's actions in Eclipse go there, every other line to the plug-in.</summary>
    public sealed class Keyboard
    {
        private readonly BlockingCollection<string> forPlugIn = new BlockingCollection<string>();
        private readonly Func<string, bool> isAction;
        private readonly Action<string> act;

        public Keyboard(Func<string, bool> isAction, Action<string> act)
        {
            this.isAction = isAction;
            this.act = act;
        }

        public void Listen()
        {
            TextReader real = Console.In;
            Console.SetIn(new FromQueue(forPlugIn));
            new Thread(() => Split(real)) { IsBackground = true, Name = "keyboard" }.Start();
        }

        private void Split(TextReader real)
        {
            string line;
            while ((line = real.ReadLine()) != null)
            {
                if (isAction(line.Trim()))
                {
                    act(line.Trim());
                }
                else
                {
                    forPlugIn.Add(line);
                }
            }
            forPlugIn.CompleteAdding();
        }

        private sealed class FromQueue : TextReader
        {
            private readonly BlockingCollection<string> lines;

            public FromQueue(BlockingCollection<string> lines)
            {
                this.lines = lines;
            }

            public override string ReadLine()
            {
                string line;
                return lines.TryTake(out line, Timeout.Infinite) ? line : null;
            }
        }
    }
}
