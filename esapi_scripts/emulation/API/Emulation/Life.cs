using System;
using System.Collections.Generic;
using System.Threading;

namespace Beamwright.Emulation
{
    /// <summary>
    /// How long, and on which thread, a family of API objects may be used: one for the application, one for each
    /// opened patient. Every public member of an API object asks its Life first.
    /// </summary>
    internal sealed class Life
    {
        private const string Rescue = " Call it on the thread that created the Application or entered Execute.";

        public readonly Thread Owner = Thread.CurrentThread;
        public volatile bool Ended;
        public bool Writing;
        public bool Dirty;
        public readonly PatientRecord Record;
        public readonly Physics Physics;
        public readonly Settings Settings;
        public int ObjectivesAdded;

        /// <summary>Calls of SaveModifications so far.</summary>
        public int Saves;

        /// <summary>What was asked of the physics and cannot change: voxels and contours, by handle.</summary>
        public readonly Dictionary<string, object> Cache = new Dictionary<string, object>();

        public Life(Settings settings, Physics physics, PatientRecord record)
        {
            Settings = settings;
            Physics = physics;
            Record = record;
        }

        /// <summary>The life of a patient, opened by the calling thread; null where the database has no such patient.</summary>
        public static Life Open(string patientId)
        {
            Settings settings = Eclipse.Reread();
            Physics physics = Physics.For(settings);
            try
            {
                Reply reply = physics.Ask("open", new Dictionary<string, object> { { "patient", patientId } });
                return new Life(settings, physics, PatientRecord.From(Json.Object(reply.Header["patient"])));
            }
            catch (PhysicsException error) when (error.Kind == "NotFound")
            {
                return null;
            }
        }

        /// <summary>Who has the patient open elsewhere; null where nobody has.</summary>
        public string LockedBy
        {
            get
            {
                string who;
                return Settings.LockedBy.TryGetValue(Record.Id, out who) ? who : null;
            }
        }

        /// <summary>Writes the whole patient; there is no unsaved work afterwards.</summary>
        public void Save()
        {
            if (Settings.Faults.SaveThrows)
            {
                throw new ApplicationException("The patient could not be saved: " + Settings.Faults.Reason);
            }
            if (Dirty)
            {
                Physics.Ask("save", new Dictionary<string, object> { { "patient", Record.To() } });
                Dirty = false;
            }
        }

        /// <summary>May a method be called? The right thread, and an open patient.</summary>
        public void Check(string member)
        {
            ApiTrace.Note(member);
            if (Thread.CurrentThread != Owner)
            {
                throw Settings.Switches.WrongThread(
                    member + " was called on thread " + Thread.CurrentThread.ManagedThreadId + ", but ESAPI belongs to thread "
                    + Owner.ManagedThreadId + "." + Rescue);
            }
            if (Ended && !Settings.Switches.StaleAfterClose)
            {
                throw new ObjectDisposedException(
                    null, member + " was called on an object of a patient that is closed. Open the patient again and get a new object.");
            }
        }

        /// <summary>May a property be read? As Check, and as slowly as the settings say.</summary>
        public void Read(string member)
        {
            Check(member);
            if (Settings.GetterMs > 0)
            {
                Thread.Sleep(Settings.GetterMs);
            }
        }

        /// <summary>May something be changed? As Check, and only after BeginModifications on an open patient.</summary>
        public void CheckWriting(string member)
        {
            Check(member);
            if (Ended)
            {
                throw new ObjectDisposedException(null, member + " would change a patient that is closed. Open the patient again.");
            }
            if (!Writing)
            {
                throw Settings.Switches.NoModifications(
                    member + " changes the patient, but modifications have not begun. Call Patient.BeginModifications() first.");
            }
        }

        /// <summary>As CheckWriting; the patient then has unsaved work.</summary>
        public void Write(string member)
        {
            CheckWriting(member);
            Dirty = true;
        }

        /// <summary>Closes the patient: all objects reached from it are dead.</summary>
        public void End()
        {
            Ended = true;
            Writing = false;
            Dirty = false;
        }
    }
}
