using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Reflection;

namespace Beamwright
{
    /// <summary>
    /// Finds what this assembly and Python.Runtime.dll need. Neither has a configuration file of its own in which another
    /// version of an assembly could be allowed, so theirs are taken by name: one that is loaded already, or one in a
    /// folder that was named. What anybody else in the process looks for is left alone.
    /// </summary>
    public static class NeededAssemblies
    {
        private const string Python = "Python.Runtime";
        private static readonly List<string> Varians = new List<string>();
        private static bool looking;

        /// <summary>Folder of this assembly; empty where it was loaded from memory.</summary>
        public static string Folder
        {
            get
            {
                string location = Assembly.GetExecutingAssembly().Location;
                return string.IsNullOrEmpty(location) ? "" : Path.GetDirectoryName(location);
            }
        }

        /// <summary>From now on look beside this assembly, too.</summary>
        public static void FindBesideThis()
        {
            if (looking)
            {
                return;
            }
            looking = true;
            AppDomain.CurrentDomain.AssemblyResolve += (sender, wanted) => Find(wanted);
        }

        /// <summary>
        /// From now on find Varian's assemblies in this folder and, where it is Eclipse's own, let them find theirs in
        /// ExternalBeam. Only for a process of our own.
        /// </summary>
        public static void FindEsapiIn(string folder)
        {
            Varians.Add(folder.TrimEnd('\\', '/'));
            string release = Path.GetDirectoryName(Path.GetDirectoryName(folder.TrimEnd('\\', '/')));
            string externalBeam = string.IsNullOrEmpty(release) ? "" : Path.Combine(release, "ExternalBeam");
            if (Directory.Exists(externalBeam))
            {
                Varians.Add(externalBeam);
                Environment.SetEnvironmentVariable(
                    "PATH", externalBeam + Path.PathSeparator + Environment.GetEnvironmentVariable("PATH"));
            }
        }

        private static Assembly Find(ResolveEventArgs wanted)
        {
            string name = new AssemblyName(wanted.Name).Name;
            if (name != Python && !IsOurs(wanted.RequestingAssembly))
            {
                return null;
            }
            Assembly loaded = AppDomain.CurrentDomain.GetAssemblies().FirstOrDefault(each => each.GetName().Name == name);
            string file = new[] { Folder }.Where(folder => folder.Length > 0).Concat(Varians)
                .Select(folder => Path.Combine(folder, name + ".dll")).FirstOrDefault(File.Exists);
            return loaded ?? (file == null ? null : Assembly.LoadFrom(file));
        }

        /// <summary>This one, Python's, and those in a folder of Varian's that we were told to look in.</summary>
        private static bool IsOurs(Assembly asking)
        {
            if (asking == null || asking.IsDynamic)
            {
                return false;
            }
            return asking == Assembly.GetExecutingAssembly() || asking.GetName().Name == Python
                || (!string.IsNullOrEmpty(asking.Location) && Varians.Contains(Path.GetDirectoryName(asking.Location)));
        }
    }
}
