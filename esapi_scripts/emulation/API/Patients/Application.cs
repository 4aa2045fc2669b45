using System;
using System.Collections.Generic;
using System.Linq;
using Beamwright.Emulation;

namespace VMS.TPS.Common.Model.API
{
    /// <summary>
    /// The entry of a stand-alone program: one per process, one open patient at a time, all on the thread that made it.
    /// </summary>
    public class Application : SerializableObject, IDisposable
    {
        private static readonly object Door = new object();
        private static Application _only;

        private readonly Life _life;
        private Life _patient;
        private bool _disposed;

        private Application(Life life)
        {
            _life = life;
        }

        public static Application CreateApplication()
        {
            lock (Door)
            {
                if (_only != null || Hospital.IsOpen)
                {
                    throw new TpsNetInitializationException("Only one Application object is supported at a time");
                }
                Settings settings = Eclipse.Reread();
                _only = new Application(new Life(settings, Physics.For(settings), null));
                return _only;
            }
        }

#if ESAPI15
        public static Application CreateApplication(string username, string password)
        {
            return CreateApplication();
        }
#endif

        public User CurrentUser
        {
            get
            {
                Read("CurrentUser");
                return new User(_life);
            }
        }

        public IEnumerable<PatientSummary> PatientSummaries
        {
            get
            {
                Read("PatientSummaries");
                Reply reply = _life.Physics.Ask("summaries");
                return reply.Header.Each("patients", found => new PatientSummary(_life, found));
            }
        }

        public ScriptEnvironment ScriptEnvironment
        {
            get
            {
                Read("ScriptEnvironment");
                return new ScriptEnvironment(_life);
            }
        }

        public Patient OpenPatient(PatientSummary patientSummary)
        {
            Check("OpenPatient");
            Patient patient = Opened(patientSummary.Id);
            if (patient == null)
            {
                throw new ApplicationException("Patient " + patientSummary.Id + " is no longer in the database.");
            }
            return patient;
        }

        public Patient OpenPatientById(string id)
        {
            Check("OpenPatientById");
            return Opened(id);
        }

        public void ClosePatient()
        {
            Check("ClosePatient");
            EndPatient();
        }

        public void SaveModifications()
        {
            Check("SaveModifications");
            if (_patient == null)
            {
                throw new ApplicationException("SaveModifications was called, but no patient is open.");
            }
            _patient.Save();
            _patient.Saves++;
        }

        public void Dispose()
        {
            if (_disposed)
            {
                return;
            }
            Check("Dispose");
            EndPatient();
            _life.End();
            _disposed = true;
            lock (Door)
            {
                _only = null;
            }
        }

        private Patient Opened(string id)
        {
            if (_patient != null)
            {
                throw new ApplicationException("Patient " + _patient.Record.Id + " is open, and only one can be. Call ClosePatient first.");
            }
            _patient = Life.Open(id);
            return _patient == null ? null : new Patient(_patient);
        }

        private void EndPatient()
        {
            if (_patient != null)
            {
                _patient.End();
            }
            _patient = null;
        }

        private void Read(string member)
        {
            NotDisposed(member);
            _life.Read("Application." + member);
        }

        private void Check(string member)
        {
            NotDisposed(member);
            _life.Check("Application." + member);
        }

        private void NotDisposed(string member)
        {
            if (_disposed)
            {
                throw new ObjectDisposedException(null, "Application." + member + " was called after Dispose.");
            }
        }
    }
}
