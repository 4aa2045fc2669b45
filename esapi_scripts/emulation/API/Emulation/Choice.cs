using System;
using System.Collections.Generic;
using System.Linq;

namespace Beamwright.Emulation
{
    /// <summary>Takes settings one by one; an error names the key, the value and what was expected.</summary>
    internal static class Choice
    {
        public static void Each(IDictionary<string, object> given, Action<string, object> take)
        {
            foreach (KeyValuePair<string, object> entry in given)
            {
                try
                {
                    take(entry.Key, entry.Value);
                }
                catch (Exception error) when (error is InvalidCastException || error is FormatException || error is NullReferenceException)
                {
                    throw new ArgumentException("\"" + entry.Key + "\" cannot be " + Json.Write(entry.Value) + ".", error);
                }
            }
        }

        public static string Of(string key, object value, params string[] allowed)
        {
            var word = value as string;
            if (!allowed.Contains(word))
            {
                throw new ArgumentException(
                    "\"" + key + "\" must be " + string.Join(" or ", allowed) + ", not " + Json.Write(value) + ".");
            }
            return word;
        }
    }
}
