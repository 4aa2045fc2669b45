using System;
using System.Windows.Forms;

namespace Beamwright
{
    /// <summary>A sentence for the person where there is no window of ours.</summary>
    public static class Notice
    {
        /// <summary>Whether it goes to standard output; a message box otherwise.</summary>
        public static bool OnConsole { get; set; }

        public static void Tell(string sentence)
        {
            if (!OnConsole)
            {
                try
                {
                    MessageBox.Show(sentence, "Beamwright", MessageBoxButtons.OK, MessageBoxIcon.Information);
                    return;
                }
                catch (Exception)
                {
                    // there is no display; the console is what remains
                }
            }
            Console.WriteLine(sentence);
        }
    }
}
