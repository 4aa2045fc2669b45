using System;
using System.Collections.Generic;
using System.Drawing;
using System.Windows.Forms;

namespace Beamwright
{
    /// <summary>What the person sees: what is served, what happens, what was changed, and two buttons.</summary>
    public sealed class SessionForm : Form
    {
        private const string IntendedUse = "For research. Not for clinical use without the site's own commissioning.";
        private const string NothingYet = "nothing so far";
        private const int MostLogLetters = 200000;

        private static readonly string[] Facts = { "patient", "plan", "access", "endpoint", "token file" };
        private static readonly Color Quiet = Color.FromArgb(90, 98, 110);
        private static readonly Color Ink = Color.FromArgb(28, 34, 44);
        private static readonly Color Accent = Color.FromArgb(24, 92, 160);
        private static readonly Color Warning = Color.FromArgb(255, 243, 205);

        private readonly Func<bool> agentRuns;
        private readonly Dictionary<string, TextBox> values = new Dictionary<string, TextBox>();
        private readonly Label state = new Label();
        private readonly TextBox changes = new TextBox();
        private readonly TextBox log = new TextBox();
        private readonly Button start = new Button();
        private readonly Button stop = new Button();
        private bool ending;
        private bool over;

        public SessionForm(bool agentIsNamed, Func<bool> agentRuns)
        {
            this.agentRuns = agentRuns;
            Text = "Beamwright: agent session in Eclipse";
            Font = new Font(SystemFonts.MessageBoxFont.FontFamily, 9f);
            BackColor = Color.White;
            ForeColor = Ink;
            ClientSize = new Size(780, 640);
            MinimumSize = new Size(620, 520);
            StartPosition = FormStartPosition.CenterScreen;
            Controls.Add(Body(agentIsNamed));
        }

        /// <summary>The person pressed "Start the agent".</summary>
        public event Action AgentWanted = delegate { };

        /// <summary>The person wants the session to end.</summary>
        public event Action EndWanted = delegate { };

        public void Say(string line)
        {
            if (log.TextLength > MostLogLetters)
            {
                log.Text = log.Text.Substring(MostLogLetters / 2);
            }
            log.AppendText(DateTime.Now.ToString("HH:mm:ss") + "  " + line + Environment.NewLine);
        }

        public void ShowFact(string what, string value)
        {
            TextBox box;
            if (values.TryGetValue(what, out box))
            {
                box.Text = value;
            }
            else if (what == "state")
            {
                state.Text = ending && !over ? "Ending: " + value : Capitalised(value);
            }
            else if (what == "changes")
            {
                ShowChanges(value);
            }
            else if (what == "result")
            {
                ShowResult(value);
            }
            if (what == "endpoint")
            {
                start.Enabled = start.Visible && !ending;
            }
        }

        /// <summary>The session has ended; what remains is to read the last sentence.</summary>
        public void SessionOver()
        {
            over = true;
            start.Enabled = false;
            stop.Enabled = true;
            stop.Text = "Close this window";
        }

        protected override void OnFormClosing(FormClosingEventArgs closing)
        {
            if (!over)
            {
                closing.Cancel = true;
                End();
            }
            base.OnFormClosing(closing);
        }

        private static string Capitalised(string text)
        {
            return text.Length == 0 ? text : char.ToUpper(text[0]) + text.Substring(1);
        }

        private void StopPressed()
        {
            if (over)
            {
                Close();
            }
            else
            {
                End();
            }
        }

        private void End()
        {
            if (ending || !PersonAgrees())
            {
                return;
            }
            ending = true;
            start.Enabled = stop.Enabled = false;
            state.Text = "Ending. A calculation that runs in Eclipse is waited for; it cannot be interrupted.";
            Say("The session is being ended.");
            EndWanted();
        }

        private bool PersonAgrees()
        {
            if (!agentRuns())
            {
                return true;
            }
            DialogResult answer = MessageBox.Show(
                this,
                "The agent is still running. End the session all the same? What it has not committed is taken back.",
                Text,
                MessageBoxButtons.YesNo,
                MessageBoxIcon.Question,
                MessageBoxDefaultButton.Button2);
            return answer == DialogResult.Yes;
        }

        private void ShowChanges(string lines)
        {
            string[] each = lines.Split(new[] { '\n' }, StringSplitOptions.RemoveEmptyEntries);
            changes.Text = each.Length == 0 ? NothingYet : string.Join(Environment.NewLine, each);
        }

        private void ShowResult(string sentence)
        {
            state.Text = sentence;
            state.BackColor = Warning;
            state.Parent.BackColor = Warning;
            Say(sentence);
        }

        private Control Body(bool agentIsNamed)
        {
            var body = new TableLayoutPanel
            {
                Dock = DockStyle.Fill,
                Padding = new Padding(14, 10, 14, 12),
                ColumnCount = 1,
                RowCount = 8
            };
            body.ColumnStyles.Add(new ColumnStyle(SizeType.Percent, 100));
            body.RowStyles.Add(new RowStyle(SizeType.AutoSize));
            body.RowStyles.Add(new RowStyle(SizeType.AutoSize));
            body.RowStyles.Add(new RowStyle(SizeType.AutoSize));
            body.RowStyles.Add(new RowStyle(SizeType.AutoSize));
            body.RowStyles.Add(new RowStyle(SizeType.Percent, 35));
            body.RowStyles.Add(new RowStyle(SizeType.AutoSize));
            body.RowStyles.Add(new RowStyle(SizeType.Percent, 65));
            body.RowStyles.Add(new RowStyle(SizeType.AutoSize));
            body.Controls.Add(Banner(), 0, 0);
            body.Controls.Add(FactTable(), 0, 1);
            body.Controls.Add(StateBar(), 0, 2);
            body.Controls.Add(Heading("Made or changed in this session (in memory until you save in Eclipse)"), 0, 3);
            body.Controls.Add(Filling(changes), 0, 4);
            body.Controls.Add(Heading("What happens"), 0, 5);
            body.Controls.Add(Filling(log), 0, 6);
            body.Controls.Add(Buttons(agentIsNamed), 0, 7);
            MakePage(changes);
            MakePage(log);
            changes.Text = NothingYet;
            return body;
        }

        private static void MakePage(TextBox page)
        {
            page.Multiline = true;
            page.ReadOnly = true;
            page.WordWrap = true;
            page.TabStop = false;
            page.ScrollBars = ScrollBars.Vertical;
            page.BorderStyle = BorderStyle.FixedSingle;
            page.BackColor = Color.White;
        }

        private Control Banner()
        {
            return new Label
            {
                Text = IntendedUse,
                AutoSize = true,
                ForeColor = Accent,
                Font = new Font(Font, FontStyle.Bold),
                Margin = new Padding(0, 0, 0, 8)
            };
        }

        private Control FactTable()
        {
            var table = new TableLayoutPanel { Dock = DockStyle.Fill, AutoSize = true, ColumnCount = 2, Margin = new Padding(0) };
            table.ColumnStyles.Add(new ColumnStyle(SizeType.Absolute, 90));
            table.ColumnStyles.Add(new ColumnStyle(SizeType.Percent, 100));
            for (int row = 0; row < Facts.Length; row++)
            {
                table.RowStyles.Add(new RowStyle(SizeType.AutoSize));
                table.Controls.Add(
                    new Label { Text = Capitalised(Facts[row]), AutoSize = true, ForeColor = Quiet, Margin = new Padding(0, 3, 0, 3) },
                    0,
                    row);
                table.Controls.Add(values[Facts[row]] = ValueBox(), 1, row);
            }
            return table;
        }

        private static TextBox ValueBox()
        {
            return new TextBox
            {
                ReadOnly = true,
                BorderStyle = BorderStyle.None,
                BackColor = Color.White,
                ForeColor = Ink,
                Multiline = true,
                WordWrap = false,
                Height = 21,
                Dock = DockStyle.Fill,
                TabStop = false,
                Margin = new Padding(0, 3, 0, 1)
            };
        }

        private Control StateBar()
        {
            var bar = new Panel { Dock = DockStyle.Fill, Height = 62, BackColor = Color.FromArgb(234, 241, 249), Margin = new Padding(0, 8, 0, 8) };
            state.Dock = DockStyle.Fill;
            state.Padding = new Padding(8, 4, 8, 4);
            state.TextAlign = ContentAlignment.MiddleLeft;
            state.Font = new Font(Font, FontStyle.Bold);
            state.Text = "Starting";
            bar.Controls.Add(state);
            return bar;
        }

        private Control Heading(string text)
        {
            return new Label { Text = text, AutoSize = true, ForeColor = Quiet, Margin = new Padding(0, 2, 0, 3) };
        }

        private static Control Filling(Control control)
        {
            control.Dock = DockStyle.Fill;
            control.Margin = new Padding(0, 0, 0, 6);
            return control;
        }

        private Control Buttons(bool agentIsNamed)
        {
            var row = new FlowLayoutPanel
            {
                FlowDirection = FlowDirection.RightToLeft,
                Dock = DockStyle.Fill,
                AutoSize = true,
                Margin = new Padding(0, 4, 0, 0)
            };
            Prepare(stop, "Stop and close");
            stop.Click += (sender, nothing) => StopPressed();
            Prepare(start, "Start the agent");
            start.Visible = agentIsNamed;
            start.Enabled = false;
            start.Click += (sender, nothing) => AgentWanted();
            row.Controls.Add(stop);
            row.Controls.Add(start);
            return row;
        }

        private static void Prepare(Button button, string text)
        {
            button.Text = text;
            button.AutoSize = true;
            button.FlatStyle = FlatStyle.Flat;
            button.FlatAppearance.BorderColor = Quiet;
            button.MinimumSize = new Size(130, 30);
            button.Margin = new Padding(8, 0, 0, 0);
        }
    }
}
