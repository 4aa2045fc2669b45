using System;
using System.IO;
using System.Linq;
using System.Reflection;

namespace Beamwright
{
    /// <summary>
    /// Finds Python.Runtime.dll and what it needs. A plug-in has no configuration file of its own in which another
    /// version of an assembly could be allowed, so an assembly is taken by its name: one that is loaded already, or
    /// one that lies beside this one.
    /// </summary>
    public static class NeededAssemblies
    {
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
            AppDomain.CurrentDomain.AssemblyResolve += (sender, wanted) => Find(new AssemblyName(wanted.Name).Name);
        }

        private static Assembly Find(string name)
        {
            Assembly loaded = AppDomain.CurrentDomain.GetAssemblies().FirstOrDefault(each => each.GetName().Name == name);
            if (loaded != null)
            {
                return loaded;
            }
            string file = Folder.Length == 0 ? "" : Path.Combine(Folder, name + ".dll");
            return File.Exists(file) ? Assembly.LoadFrom(file) : null;
        }
    }
}
