using System;
using System.Collections.Generic;
using Beamwright.Emulation;

namespace VMS.TPS.Common.Model.API
{
    /// <summary>A line of the list of patients.</summary>
    public class PatientSummary : SerializableObject
    {
        private readonly Life _life;
        private readonly IDictionary<string, object> _found;

        internal PatientSummary(Life life, IDictionary<string, object> found)
        {
            _life = life;
            _found = found;
        }

        public string Id
        {
            get { return Text("Id", "id"); }
        }

        public string Id2
        {
            get { return Text("Id2", "id2"); }
        }

        public string FirstName
        {
            get { return Text("FirstName", "first_name"); }
        }

        public string LastName
        {
            get { return Text("LastName", "last_name"); }
        }

        public string MiddleName
        {
            get { return Text("MiddleName", "middle_name"); }
        }

        public string Sex
        {
            get { return Text("Sex", "sex"); }
        }

        public string SSN
        {
            get { return Text("SSN", "ssn"); }
        }

        public DateTime? DateOfBirth
        {
            get
            {
                _life.Read("PatientSummary.DateOfBirth");
                return null;
            }
        }

        public DateTime? CreationDateTime
        {
            get
            {
                _life.Read("PatientSummary.CreationDateTime");
                return null;
            }
        }

        private string Text(string member, string key)
        {
            _life.Read("PatientSummary." + member);
            return _found.Text(key);
        }
    }
}
