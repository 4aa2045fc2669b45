using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;

namespace Beamwright
{
    /// <summary>A file of "key = value" lines below [section] lines; a line that begins with # or ; is a comment.</summary>
    public sealed class IniFile
    {
        private readonly Dictionary<string, Dictionary<string, string>> sections =
            new Dictionary<string, Dictionary<string, string>>(StringComparer.Ordinal);

        public IniFile(string path)
        {
            Path = path;
            Read(Lines(path));
        }

        public string Path { get; }

        /// <summary>The value, or "" where the key is absent or has none.</summary>
        public string Value(string section, string key)
        {
            Dictionary<string, string> keys;
            string value;
            return sections.TryGetValue(section, out keys) && keys.TryGetValue(key, out value) ? value : "";
        }

        public string Required(string section, string key, string expected)
        {
            string value = Value(section, key);
            if (value.Length == 0)
            {
                throw new Refusal(Path + ": [" + section + "] " + key + " is missing or empty; expected " + expected + ".");
            }
            return value;
        }

        public string OneOf(string section, string key, params string[] words)
        {
            string value = Value(section, key);
            if (!words.Contains(value))
            {
                throw new Refusal(Path + ": [" + section + "] " + key + " = '" + value + "'; expected "
                    + string.Join(" or ", words) + ".");
            }
            return value;
        }

        /// <summary>Refuses a key of the section that is none of those known: most likely a misspelt one.</summary>
        public void AllowOnly(string section, params string[] known)
        {
            Dictionary<string, string> keys;
            if (!sections.TryGetValue(section, out keys))
            {
                return;
            }
            string unknown = keys.Keys.FirstOrDefault(key => !known.Contains(key, StringComparer.Ordinal));
            if (unknown != null)
            {
                throw new Refusal(Path + ": [" + section + "] has no key '" + unknown + "'; it has "
                    + string.Join(", ", known) + ".");
            }
        }

        private static string[] Lines(string path)
        {
            try
            {
                return File.ReadAllLines(path);
            }
            catch (Exception error) when (error is IOException || error is UnauthorizedAccessException)
            {
                throw new Refusal("The configuration file " + path + " cannot be read: " + error.Message
                    + " Copy beamwright.ini there and fill it in, or name yours in the environment variable BEAMWRIGHT_INI.");
            }
        }

        private void Read(string[] lines)
        {
            Dictionary<string, string> keys = null;
            for (int index = 0; index < lines.Length; index++)
            {
                string line = lines[index].Trim();
                if (line.Length == 0 || line[0] == '#' || line[0] == ';')
                {
                    continue;
                }
                if (line[0] == '[' && line[line.Length - 1] == ']')
                {
                    keys = Section(line.Substring(1, line.Length - 2).Trim());
                    continue;
                }
                int equals = line.IndexOf('=');
                if (keys == null || equals < 1 || char.IsWhiteSpace(lines[index][0]))
                {
                    throw new Refusal(Path + ", line " + (index + 1) + ": '" + line
                        + "' is neither [section] nor 'key = value' at the beginning of a line below a section.");
                }
                string key = line.Substring(0, equals).Trim();
                if (keys.ContainsKey(key))
                {
                    throw new Refusal(Path + ", line " + (index + 1) + ": '" + key + "' is there twice.");
                }
                keys[key] = line.Substring(equals + 1).Trim();
            }
        }

        private Dictionary<string, string> Section(string name)
        {
            if (sections.ContainsKey(name))
            {
                throw new Refusal(Path + ": section [" + name + "] is there twice.");
            }
            return sections[name] = new Dictionary<string, string>(StringComparer.Ordinal);
        }
    }
}
