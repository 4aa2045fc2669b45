using System;
using Beamwright.Emulation;

namespace VMS.TPS.Common.Model.API
{
    /// <summary>
    /// A thing of the database. Wrappers are made anew at each access: two of the same thing are equal, not identical.
    /// Every public member passes through Get, Call, Set or Edit, where the rules are.
    /// </summary>
    public abstract class ApiDataObject : SerializableObject
    {
        internal readonly Life Life;
        internal readonly Record Record;
        private readonly int _saves;

        internal ApiDataObject(Life life, Record record)
        {
            Life = life;
            Record = record;
            _saves = life == null ? 0 : life.Saves;
        }

        public string Id
        {
            get { return Get("Id", () => Record.Id); }
        }

        public string Name
        {
            get { return Get("Name", () => Record.Name); }
        }

        public string Comment
        {
            get { return Get("Comment", () => Record.Comment); }
        }

        public string HistoryUserName
        {
            get { return Get("HistoryUserName", () => Life.Settings.User); }
        }

        public string HistoryUserDisplayName
        {
            get { return Get("HistoryUserDisplayName", () => Life.Settings.User); }
        }

        public DateTime HistoryDateTime
        {
            get { return Get("HistoryDateTime", () => DateTime.MinValue); }
        }

        public override bool Equals(object other)
        {
            var thing = other as ApiDataObject;
            return !ReferenceEquals(thing, null) && ReferenceEquals(Record, thing.Record);
        }

        public override int GetHashCode()
        {
            return System.Runtime.CompilerServices.RuntimeHelpers.GetHashCode(Record);
        }

        public override string ToString()
        {
            return GetType().Name + ": " + Record.Id;
        }

        public static bool operator ==(ApiDataObject left, ApiDataObject right)
        {
            return Equals(left, right);
        }

        public static bool operator !=(ApiDataObject left, ApiDataObject right)
        {
            return !Equals(left, right);
        }

        /// <summary>A property is read.</summary>
        protected T Get<T>(string member, Func<T> read)
        {
            Life.Read(Full(member));
            Alive(member);
            return read();
        }

        /// <summary>A method that changes nothing is called.</summary>
        protected T Call<T>(string member, Func<T> answer)
        {
            Life.Check(Full(member));
            Alive(member);
            return answer();
        }

        /// <summary>A property is set, or a method that changes something is called.</summary>
        protected void Set(string member, Action write)
        {
            Life.CheckWriting(Full(member));
            Alive(member);
            write();
            Life.Dirty = true;
        }

        /// <summary>A method that changes something and answers.</summary>
        protected T Edit<T>(string member, Func<T> write)
        {
            Life.CheckWriting(Full(member));
            Alive(member);
            T result = write();
            Life.Dirty = true;
            return result;
        }

        /// <summary>Whether a save ends it, where the switch says so; the patient itself it never ends.</summary>
        internal virtual bool EndsWithASave
        {
            get { return Life.Record != null; }
        }

        private string Full(string member)
        {
            return GetType().Name + "." + member;
        }

        /// <summary>The record is there and, by switch, nothing has been saved since this was read.</summary>
        internal void Alive(string member)
        {
            if (Life.Settings.Switches.DeadAfterSave && EndsWithASave && _saves != Life.Saves)
            {
                throw new ObjectDisposedException(
                    null, Full(member) + " was called on an object from before SaveModifications. Get a new one from the patient.");
            }
            if (Record.Removed)
            {
                throw new ObjectDisposedException(
                    null, Full(member) + " was called on " + Record.Id + ", which has been removed from the patient.");
            }
        }
    }
}
