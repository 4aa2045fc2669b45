using System;
using System.Collections;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using System.Web.Script.Serialization;

namespace Beamwright.Emulation
{
    /// <summary>JSON as dictionaries, lists, strings, numbers and booleans, and the words to take them apart.</summary>
    internal static class Json
    {
        public static IDictionary<string, object> Parse(string text)
        {
            return (IDictionary<string, object>)Serializer().DeserializeObject(text);
        }

        public static string Write(object value)
        {
            return Serializer().Serialize(value);
        }

        /// <summary>A number as double, exactly as written: JavaScriptSerializer gives decimals for most of them.</summary>
        public static double Number(object value)
        {
            if (value is double)
            {
                return (double)value;
            }
            if (value is int)
            {
                return (int)value;
            }
            string text = Convert.ToString(value, CultureInfo.InvariantCulture);
            return double.Parse(text, NumberStyles.Float, CultureInfo.InvariantCulture);
        }

        public static double? NumberOrNull(object value)
        {
            return value == null ? (double?)null : Number(value);
        }

        public static int Whole(object value)
        {
            double number = Number(value);
            if (number != Math.Floor(number))
            {
                throw new FormatException("A whole number was expected, not " + number.ToString(CultureInfo.InvariantCulture) + ".");
            }
            return (int)number;
        }

        public static int? WholeOrNull(object value)
        {
            return value == null ? (int?)null : Whole(value);
        }

        public static double[] Numbers(object value)
        {
            return value == null ? null : Items(value).Select(Number).ToArray();
        }

        public static int[] Wholes(object value)
        {
            return value == null ? null : Items(value).Select(Whole).ToArray();
        }

        public static List<string> Texts(object value)
        {
            return Items(value).Cast<string>().ToList();
        }

        public static IEnumerable<object> Items(object value)
        {
            return value == null ? Enumerable.Empty<object>() : ((IEnumerable)value).Cast<object>();
        }

        public static IDictionary<string, object> Object(object value)
        {
            return (IDictionary<string, object>)value;
        }

        /// <summary>The value of a key, or null where the key is absent.</summary>
        public static object Get(this IDictionary<string, object> source, string key)
        {
            object value;
            return source.TryGetValue(key, out value) ? value : null;
        }

        public static string Text(this IDictionary<string, object> source, string key, string otherwise = "")
        {
            return (string)source.Get(key) ?? otherwise;
        }

        public static bool Flag(this IDictionary<string, object> source, string key, bool otherwise = false)
        {
            return (bool?)source.Get(key) ?? otherwise;
        }

        public static double Number(this IDictionary<string, object> source, string key, double otherwise = 0)
        {
            return NumberOrNull(source.Get(key)) ?? otherwise;
        }

        public static int Whole(this IDictionary<string, object> source, string key, int otherwise = 0)
        {
            return WholeOrNull(source.Get(key)) ?? otherwise;
        }

        public static List<T> Each<T>(this IDictionary<string, object> source, string key, Func<IDictionary<string, object>, T> make)
        {
            return Items(source.Get(key)).Select(item => make(Object(item))).ToList();
        }

        private static JavaScriptSerializer Serializer()
        {
            return new JavaScriptSerializer { MaxJsonLength = int.MaxValue };
        }
    }
}
